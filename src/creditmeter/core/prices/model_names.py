"""The names of models: what resellers write around the name that a model's maker gives it.

OpenRouter puts the maker before it (`anthropic/claude-opus-4.5:thinking`), Bedrock the region and the maker, and its own
version behind it (`us.anthropic.claude-opus-4-5-20251101-v1:0`), Vertex writes the date of a snapshot behind an @.
"""

import re

_SNAPSHOT_DATE = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2})$")
_MAKER = re.compile(r"^(?:[a-z-]+\.)?[a-z]+[0-9]*\.(?=[a-z])")
_BEHIND = re.compile(r"(?:-v\d+)?(?::[a-z0-9.]+)*$|@[a-z]+$")


def undated(name: str) -> str:
    """A name without the date of a snapshot: `gpt-4o` of `gpt-4o-2024-08-06`."""
    return _SNAPSHOT_DATE.sub("", name)


def bare_name(name: str) -> str:
    """A name without what resellers write around it, in small letters and with dashes for dots; the date stays."""
    plain = _BEHIND.sub("", name.lower().strip().rpartition("/")[2])
    return _MAKER.sub("", plain).replace(".", "-").replace("@", "-")
