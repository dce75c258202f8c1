"""The first page: is it running, what is it worth, is anything wrong."""
