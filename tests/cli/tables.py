"""Printed tables, taken apart."""

import re


def rows(text: str) -> list[list[str]]:
    """The rows of a printed table as lists of cells."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.strip()]
