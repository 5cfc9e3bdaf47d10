"""Opening the embedded store: several processes of a host may do so for the first time at once."""

import contextlib
import threading
from pathlib import Path

from creditmeter.central import sqlite

ROUNDS = 150
AT_ONCE = 8


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    """One changes its mode; none of the others is told that it is locked."""
    refused: list[BaseException] = []

    def use(path: Path, start: threading.Barrier) -> None:
        start.wait()
        try:
            with contextlib.closing(sqlite._open(path)) as connection:
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        except Exception as error:  # noqa: BLE001 - whatever it is
            refused.append(error)

    for number in range(ROUNDS):
        start = threading.Barrier(AT_ONCE)
        threads = [threading.Thread(target=use, args=(tmp_path / f"{number}.db", start)) for _ in range(AT_ONCE)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert refused == []
