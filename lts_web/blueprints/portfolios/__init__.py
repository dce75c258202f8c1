"""Portfolios: the list, the page of one, its parts and its buttons."""
