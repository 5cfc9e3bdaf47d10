"""Clocks of real processes that a test sets: a machine's wall clock, and that which a PostgreSQL server answers."""

import contextlib
import os
import struct
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg

from tests.postgres import PostgresServer

_OFFSET = struct.Struct("q")
"""What is added to the real time, in nanoseconds."""

_READ = "a wrong clock was read"
_SHADOW = f"""
CREATE SCHEMA wrong;
CREATE TABLE wrong.clock AS SELECT interval '0' AS by;
CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
DECLARE span interval;
BEGIN
    SELECT by INTO span FROM wrong.clock;
    IF span <> '0' THEN
        RAISE LOG '{_READ} in %', current_database();
    END IF;
    RETURN pg_catalog.clock_timestamp() + span;
END $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = wrong, pg_catalog, public', current_database()); END $$
"""


class MachineClock:
    """A machine's wall clock, which is right until it is set. Its boot-time clock is the real one. A process reads it if
    it begins with `lead`.
    """

    def __init__(self, directory: Path) -> None:
        self._always, self._once, self._read = directory / "always", directory / "once", directory / "read"
        self._always.write_bytes(_OFFSET.pack(0))
        self._read.touch()
        self.lead = partial(_read_from, self._always, self._once, self._read)

    async def be_wrong_by(self, span: timedelta) -> None:
        """Set it to the real time and so much; none sets it right."""
        with self._always.open("r+b") as file:
            file.write(_offset(span))

    def misread(self, span: timedelta) -> None:
        """Have one reading be wrong, whosever it is."""
        ready = self._once.with_suffix(".ready")
        ready.write_bytes(_offset(span))
        ready.rename(self._once)

    def times_read(self) -> int:
        """How often it was read while it was wrong."""
        return self._read.stat().st_size


def _offset(span: timedelta) -> bytes:
    return _OFFSET.pack(round(span / timedelta(microseconds=1)) * 1_000)


class ServerClock:
    """What a PostgreSQL server answers as the time, to connections to one of its databases that ask for `clock_timestamp()`."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._url = url

    async def take_over(self) -> None:
        """Put a function that a test sets before the server's own, for connections that are made after this. The tables of the
        program have to be there, or it would make them beside that function.
        """
        await self._execute(_SHADOW)

    async def be_wrong_by(self, span: timedelta) -> None:
        """Set it to the real time and so much; none sets it right."""
        await self._execute("UPDATE wrong.clock SET by = $1", span)

    def times_read(self) -> int:
        """How often it was read while it was wrong."""
        return self._server.log.count(f"{_READ} in {self._url.rpartition('/')[2]}")

    async def _execute(self, statement: str, *values: timedelta) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()


def _read_from(always: Path, once: Path, read: Path) -> None:
    """Have this process read the wall clock that these files tell of: the offset of each reading, that of the next one if there
    is such a file, and a byte for each wrong reading.
    """
    offset_of_all, readings = os.open(always, os.O_RDONLY), os.open(read, os.O_WRONLY | os.O_APPEND)
    right = time.time_ns

    def time_ns() -> int:
        said = os.pread(offset_of_all, _OFFSET.size, 0)
        with contextlib.suppress(FileNotFoundError):  # of two processes that try it, one takes it
            taken = once.rename(once.with_suffix(f".{os.getpid()}"))
            said = taken.read_bytes()
        (offset,) = _OFFSET.unpack(said)
        if offset:
            os.write(readings, b".")
        return right() + int(offset)

    time.time_ns = time_ns
