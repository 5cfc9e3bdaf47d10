"""Calls a sidecar with requests that are wrong in every way, and looks for what may not be."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.fuzz.campaign import fuzz
from tests.postgres import PostgresServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the calls that the arguments name, and print what was found. Returns 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, metavar="N", help="how many (100000)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which (1)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this call of the seed alone")
    parser.add_argument("--central", choices=("sqlite", "postgresql"), default="sqlite", help="the central store (sqlite)")
    given = parser.parse_args(arguments)
    numbers = range(given.calls) if given.only is None else [given.only]
    with ExitStack() as stack:
        url = None
        if given.central == "postgresql":
            url = stack.enter_context(PostgresServer()).create_database()
        record = fuzz(given.seed, numbers, url, _print)
    for line in record.summary():
        _print(line)
    return 1 if record.findings else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
