"""Processes that are forked from one which has loaded the program and done nothing with it: that takes a fraction of a fresh
interpreter's start.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from creditmeter.cli.main import main
from tests.cli.processes import Ended, environment

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload([__name__, "tests.cli.terminal", "creditmeter.server.app"])

_MOST_SECONDS = 110


def run_forked(*arguments: str, **more: str) -> Ended:
    """Run a command as `run_process` does, all but the start of its interpreter; `more` is added to its environment."""
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        child = FORKING.Process(target=_perform, args=(arguments, environment(**more), str(Path.cwd()), str(out), str(err)))
        child.start()
        child.join(_MOST_SECONDS)
        if child.exitcode is None:
            child.kill()
            child.join()
        assert child.exitcode is not None
        assert child.exitcode >= 0, f"it was ended by signal {-child.exitcode} after at most {_MOST_SECONDS} s"
        return Ended(child.exitcode, out.read_text(), err.read_text())


def _perform(arguments: Sequence[str], surroundings: Mapping[str, str], directory: str, out: str, err: str) -> None:
    """In the child: write to these files, and run the command."""
    os.chdir(directory)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    os.environ.clear()
    os.environ.update(surroundings)
    sys.argv = ["creditmeter", *arguments]
    main()
