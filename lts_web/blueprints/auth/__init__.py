"""Logging in and out, and the choice of light or dark."""
