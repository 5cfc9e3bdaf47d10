"""Stored forms: the names under which the core's values stand in rows, and how they are written and read."""
