"""Decisions: the transactions that change the central store."""
