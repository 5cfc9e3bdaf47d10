"""How many examples a property is tried on, for those that need more or fewer than usual."""

from hypothesis import settings


def times_as_many(factor: float) -> settings:
    """So many times as many examples as usual: what is usual depends on the run (`tests/conftest.py`)."""
    usual = settings.default
    assert usual is not None, "tests/conftest.py loads a profile"
    return settings(max_examples=max(1, round(factor * usual.max_examples)))
