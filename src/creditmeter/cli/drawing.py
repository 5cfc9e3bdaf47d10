"""Draws tables by Rich. What is drawn has been made harmless for a terminal before (`screen`)."""

import re
import sys
from collections.abc import Set as AbstractSet

from rich.box import Box
from rich.console import Console
from rich.table import Table as Drawing

from creditmeter.cli.layout import IN_ASCII, Form, Layout

_TRAILING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
"""Spaces at the end of a line, with the end of a style behind them."""

_RULE = Box("    \n    \n ── \n    \n    \n ── \n    \n    \n")
_ASCII_RULE = Box("    \n    \n -- \n    \n    \n -- \n    \n    \n", ascii=True)

_ANY_HEIGHT = 25
"""Height that is given to Rich, which uses a width on a dumb terminal only with a height. It does not cut tables."""


def drawn(layout: Layout, sections: AbstractSet[int] = frozenset(), *, utf_8: bool) -> str:
    """A table as text: lines that each end in a newline, with the escape sequences that this output supports."""
    drawing = Drawing(box=_RULE if utf_8 else _ASCII_RULE, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column, head, width in zip(layout.columns, layout.heads, layout.widths, strict=True):
        is_text = column.form is Form.TEXT
        drawing.add_column(
            _for(head, utf_8=utf_8),
            justify="right" if column.form is Form.NUMBER else "left",
            width=width,
            no_wrap=not is_text,
            overflow="fold" if is_text else "crop",
        )
    for number, row in enumerate(layout.rows):
        if number in sections:
            drawing.add_section()
        drawing.add_row(*(_for(cell, utf_8=utf_8) for cell in row))
    out = Console(file=sys.stdout, width=layout.width, height=_ANY_HEIGHT, markup=False, emoji=False, highlight=False)
    with out.capture() as captured:
        out.print(drawing)
    return _TRAILING.sub(r"\1", captured.get())


def _for(text: str, *, utf_8: bool) -> str:
    return text if utf_8 else text.translate(IN_ASCII)
