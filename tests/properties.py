"""How many examples a property is tried on, for those that need more or fewer than usual."""

from hypothesis import settings


def times_as_many(factor: float) -> settings:
    """So many times as many examples as usual: what is usual depends on the run (`tests/conftest.py`)."""
    return settings(max_examples=max(1, round(factor * settings.default.max_examples)))
