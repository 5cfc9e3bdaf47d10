"""How the table of shapes writes places that many have in common."""

Places = tuple[str, ...]

AND = " & "
"""Stands between places that are added up."""

TIERS = ("priority", "flex")
"""The service tiers that LangChain writes before the names of details."""

_SIDES = {"input": ("input", "prompt"), "output": ("output", "completion")}


def details(side: str, name: str) -> Places:
    """A name in all details of a side: gateways and frameworks mix the words of chat completions with those of responses."""
    return tuple(f"{each}_{details}/{name}" for each in _SIDES[side] for details in ("tokens_details", "token_details"))


def all_details(side: str, *names: str) -> Places:
    """Several names in all details of a side."""
    return tuple(place for name in names for place in details(side, name))


def modality(lists: Places, modalities: Places, count: str) -> Places:
    """The counts of some modalities in some lists, added up."""
    return (AND.join(f"{each}[modality={modality}]/{count}" for each in lists for modality in modalities),)
