"""The options of `creditmeter replay`, and how its speed is read."""

from pathlib import Path
from typing import Annotated

import typer

from creditmeter.cli.options import read_credits


def read_speed(text: str | float) -> float:
    """A factor above 0, or `max`, which is read as 0. A default stays as it is."""
    if isinstance(text, float):
        return text
    try:
        speed = 0.0 if text == "max" else float(text)
    except ValueError:
        speed = -1.0
    if not (text == "max" or 0 < speed < float("inf")):
        raise typer.BadParameter(f"{text!r} is not a speed: write a number above 0, or max")
    return speed


Trace = Annotated[
    Path | None, typer.Argument(metavar="TRACE.csv", help="TIMESTAMP,ContextTokens,GeneratedTokens", show_default=False)
]
Sample = Annotated[bool, typer.Option("--sample", help="Replay the small trace that comes with the program.")]
RunningSidecar = Annotated[
    str | None, typer.Option(metavar="ADDR", help="A running sidecar. Default: one of its own, on a new directory.")
]
AccountCount = Annotated[
    int, typer.Option(min=1, max=10_000, metavar="COUNT", help="How many accounts the calls are spread over.")
]
AccountPrefix = Annotated[
    str | None, typer.Option(metavar="NAME", help="Accounts NAME-0001 and on, which may exist. Default: new ones.")
]
WorkerCount = Annotated[int, typer.Option(min=1, max=1_000, metavar="COUNT", help="How many calls run at once.")]
Speed = Annotated[
    float, typer.Option(parser=read_speed, metavar="X|max", show_default="max", help="How often as fast as the trace.")
]
CallLimit = Annotated[int | None, typer.Option(min=1, metavar="COUNT", help="Only the first calls of the trace.")]
MaxOutput = Annotated[int, typer.Option(min=1, max=1_000_000, metavar="TOKENS", help="The bound on output that is reserved.")]
Seed = Annotated[int, typer.Option(metavar="SEED", help="Draws accounts, models and ends; the same seed, the same replay.")]
ReleaseShare = Annotated[
    float, typer.Option(min=0, max=1, metavar="SHARE", help="How many of the calls fail and are released.")
]
RefundShare = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="How many of the calls are refunded.")]
KillShare = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="In how many of the calls the worker dies.")]
HoldSeconds = Annotated[int, typer.Option(min=1, max=3600, metavar="SECONDS", help="How long the credit of a call is held.")]
Daily = Annotated[int, typer.Option(parser=read_credits, metavar="CREDITS", show_default="100", help="Granted a day.")]
Monthly = Annotated[int, typer.Option(parser=read_credits, metavar="CREDITS", show_default="3000", help="Granted a month.")]
