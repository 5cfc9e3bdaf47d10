"""Clocks of real processes that a test sets: a machine's wall clock, and a PostgreSQL server's."""

import struct
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg

_OFFSET = struct.Struct("q")
_SECOND = timedelta(seconds=1)

_SHADOW = """
CREATE SCHEMA wrong;
CREATE TABLE wrong.clock AS SELECT interval '0' AS by;
CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + by FROM wrong.clock';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = wrong, pg_catalog, public', current_database()); END $$
"""


class MachineClock:
    """A machine's wall clock, which is right until it is set. Its boot-time clock is the real one. A process reads it if
    it begins with `lead`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.lead = partial(_read_from, file)
        file.write_bytes(_OFFSET.pack(0))

    async def be_wrong_by(self, span: timedelta) -> None:
        """Set it to the real time and so much; none sets it right."""
        with self._file.open("r+b") as file:
            file.write(_OFFSET.pack(round(span / _SECOND * 1_000_000_000)))


class ServerClock:
    """The clock of a PostgreSQL server, as connections to one of its databases read it from now on. Its tables are there."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def take_over(self) -> None:
        """Put a clock that can be set before the server's own, for connections that are made after this."""
        await self._execute(_SHADOW)

    async def be_wrong_by(self, span: timedelta) -> None:
        """Set it to the real time and so much; none sets it right."""
        await self._execute("UPDATE wrong.clock SET by = $1", span)

    async def _execute(self, statement: str, *values: timedelta) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()


def _read_from(path: Path) -> None:
    """Have this process read the wall clock of `path`."""
    file = path.open("rb", buffering=0)
    right = time.time_ns

    def wrong() -> int:
        file.seek(0)
        (offset,) = _OFFSET.unpack(file.read(_OFFSET.size))
        return right() + int(offset)

    time.time_ns = wrong
