"""The core family: makes the web application and serves it."""
