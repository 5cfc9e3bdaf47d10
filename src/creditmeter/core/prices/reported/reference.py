"""The table of docs/prices.md that says which fields of a report are read."""

from collections.abc import Iterator

from creditmeter.core.prices.reported.places import AND
from creditmeter.core.prices.reported.shapes import SHAPES, TOTAL_ONLY, Shape

_HEADINGS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "read from the cache",
    "cache_creation_input_tokens": "written to the cache",
    "cache_creation_1h_input_tokens": "kept for an hour",
    "reasoning_output_tokens": "reasoning",
}
_TOTAL = ("total", "the total of both")


def markdown_table() -> str:
    """A row for each shape, with the main classes; and below a row for each other class."""
    main = (*_HEADINGS.values(), _TOTAL[1])
    lines = [f"| written by | {' | '.join(main)} |", f"| {' | '.join(['---'] * (len(main) + 1))} |"]
    lines += [
        f"| {shape.name} | {' | '.join(_places(shape, name) for name in (*_HEADINGS, _TOTAL[0]))} |"
        for shape in (*SHAPES, TOTAL_ONLY)
    ]
    lines += ["", "| other counts | read from |", "| --- | --- |"]
    lines += [f"| `{name}` | {places} |" for name, places in _others()]
    return "\n".join(lines)


def _places(shape: Shape, name: str) -> str:
    return ", ".join(map(_written, shape.places.get(name, ()))) or "-"


def _others() -> Iterator[tuple[str, str]]:
    """The other classes, in the order in which they are first met, with their places in all shapes."""
    names = dict.fromkeys(name for shape in SHAPES for name in shape.places if name not in (*_HEADINGS, _TOTAL[0]))
    for name in names:
        places = dict.fromkeys(_written(each) for shape in SHAPES for each in shape.places.get(name, ()))
        yield name, ", ".join(places)


def _written(place: str) -> str:
    return " and ".join(f"`{each}`" for each in place.split(AND))
