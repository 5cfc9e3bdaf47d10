"""Decisions: the transactions that change the central store. Each module says which rows it loads, locks and saves."""
