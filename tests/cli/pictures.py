"""Kept pictures of what commands show on a terminal: text files in `snapshots/`, one for each command and width.

`UPDATE_SNAPSHOTS=1 pytest tests/cli/test_screens.py` writes them anew: look at the difference before you commit it. CI only
compares.

What is different each time is replaced by something of the same width, so that the layout is still checked: the ids of sidecars
and the names of temporary folders by `x`; sizes of files, moments, measured times and the zone in which it is noon by `0`.
Where even the width differs, as in the table of measured times that `replay` prints, each run of spaces, each number and
each rule is one character.
"""

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
UPDATE = os.environ.get("UPDATE_SNAPSHOTS") == "1" and os.environ.get("CI") != "true"

_SIDECAR_ID = re.compile(r"\bs[0-9a-f]{12}\b")
_TEMPORARY = re.compile(r"(?<=/cm)[a-z0-9_]{8}\b")
_SIZE = re.compile(r"[\d,]+(?= KiB\b)")
_MOMENTS = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}:\d{2}(:\d{2})?\b")
_ZONE_OF_NOON = re.compile(r"\bEtc/GMT[+-]\d+")
_MEASURED = re.compile(r"^(Calls: .*| *requests +p.*\n─+|(Reserve|Commit|Release|Refund) +\d.*)$", re.MULTILINE)


def with_placeholders(screen: str, *, moments: bool = False) -> str:
    """A screen without what is different each time. `moments`: the present is the clock's."""
    screen = _TEMPORARY.sub("x" * 8, _SIDECAR_ID.sub("s" + "x" * 12, screen))
    screen = _SIZE.sub(lambda found: re.sub(r"\d", "0", found[0]), screen)
    if not moments:
        return screen
    screen = _ZONE_OF_NOON.sub("Etc/GMT+0", screen)
    screen = _MOMENTS.sub(lambda found: re.sub(r"\d", "0", found[0]), screen)
    return _MEASURED.sub(lambda found: re.sub(r"( |─)+", r"\1", re.sub(r"\b[\d,.]+", "0", found[0])), screen)


def kept(name: str, columns: int) -> Path:
    """Where the picture of a command at this width is."""
    return FOLDER / str(columns) / f"{name}.txt"


def compare(name: str, columns: int, screen: str) -> None:
    """Hold a screen against the kept picture.

    Raises:
        AssertionError: it looks different.
    """
    file = kept(name, columns)
    if UPDATE:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(screen)
    assert file.is_file(), f"there is no picture {file.name} yet: UPDATE_SNAPSHOTS=1 keeps one"
    assert screen == file.read_text(), f"it looks different: UPDATE_SNAPSHOTS=1 keeps the new picture in {file}"
