"""Progress of a replay on stderr: a bar on a terminal, else a line for each tenth."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from creditmeter.cli.output import counted
from creditmeter.cli.screen import say

_TENTHS = 10


@contextlib.contextmanager
def progress_of(total: int) -> Iterator[Callable[[], None]]:
    """Show how many of `total` calls are done. The block gets a function to call after each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TextColumn("calls"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("replay", total=total)
        yield lambda: bar.advance(task)


def _lines(total: int) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done * _TENTHS // total != (done - 1) * _TENTHS // total:
            say(f"replay: {done:,} of {counted(total, 'call')}")

    return count
