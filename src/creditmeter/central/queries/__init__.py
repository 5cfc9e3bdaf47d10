"""Queries: what is read from the central store."""
