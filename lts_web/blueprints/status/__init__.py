"""The health check for machines."""
