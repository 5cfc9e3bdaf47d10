"""Queries: how history, usage, forecasts and lists are read from the central store."""
