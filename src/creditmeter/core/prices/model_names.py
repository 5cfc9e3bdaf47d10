"""The names of models, without what resellers write around the name that a model's maker gives it.

OpenRouter puts the maker before the name (`anthropic/claude-opus-4.5:thinking`). Bedrock puts the region and the maker before
it, and a version behind it (`us.anthropic.claude-opus-4-5-20251101-v1:0`). Vertex puts an @ before the date of a snapshot.
"""

import re

_SNAPSHOT_DATE = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2})$")
_MAKER = re.compile(r"^(?:[a-z-]+\.)?[a-z]+[0-9]*\.(?=[a-z])")
_BEHIND = re.compile(r"(?:-v\d+)?(?::[a-z0-9.]+)*$|@[a-z]+$")


def undated(name: str) -> str:
    """A name without the date of a snapshot: `gpt-4o` for `gpt-4o-2024-08-06`."""
    return _SNAPSHOT_DATE.sub("", name)


def bare_name(name: str) -> str:
    """A name without what resellers write around it, in lower case, with a dash for each dot and @. A date stays."""
    plain = _BEHIND.sub("", name.lower().strip().rpartition("/")[2])
    return _MAKER.sub("", plain).replace(".", "-").replace("@", "-")
