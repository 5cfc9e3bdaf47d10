"""Verification: every balance is computed again from history, and compared with what is stored."""
