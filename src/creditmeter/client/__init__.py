"""The Python client for workers."""
