"""Verification: every balance computed again from its history."""
