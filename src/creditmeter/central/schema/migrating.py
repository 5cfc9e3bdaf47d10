"""Bringing the central store's schema up to date with Alembic's migrations.

Several sidecars may start at the same time. SQLite's write lock, or an advisory lock on PostgreSQL, lets one of them migrate,
and the others find the schema up to date. A schema that is up to date is only read, so a role that may not change it can start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files

from sqlalchemy import URL, Connection, inspect, text

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database, shown_address
from creditmeter.central.engine.faults import CentralDamaged, CentralMisconfigured, CentralUnavailable, is_refused
from creditmeter.central.schema import tables

_ADVISORY_LOCK = 4_743_001

_MIGRATIONS = files("creditmeter.central.schema").joinpath("migrations")
_VERSION_LENGTH = 4
"""The name of a migration begins with its version, in so many digits."""

_COLUMNS = text("SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'")


class _UnknownVersion(Exception):
    """The schema has a version from which there is no way to that of this program."""


class NotPermitted(CentralMisconfigured):
    """The role that connects to the store lacks a privilege. The message names the command to run, and with which role."""


@dataclass(frozen=True, slots=True)
class Migration:
    """The schema's version before and after. None is a store without a schema."""

    before: str | None
    after: str


async def migrate(database: Database) -> Migration:
    """Apply the migrations that are missing.

    Raises:
        CentralUnavailable: the store did not answer.
        NotPermitted: migrations are missing, and this role may not apply them.
        CentralMisconfigured: there is no store, or it is damaged, another program's, or newer than this program.
    """
    newest = newest_version()
    before = await version(database)
    if database.is_sqlite:
        await _examine(database, newest)
    if before != newest:
        with _explained(database, _may_not_change(database, before, newest)):
            async with database.write_for_long() as connection:
                await lock_schema(connection)
                before = await connection.run_sync(_version)
                await connection.run_sync(_upgrade)
    return Migration(before, newest)


async def version(database: Database) -> str | None:
    """The version of the schema; None if there is none.

    Raises:
        CentralUnavailable: the store did not answer.
        NotPermitted: this role may not read it.
        CentralMisconfigured: there is no store, or it is damaged.
    """
    with _explained(database, _may_not_read(database)):
        async with database.read() as connection:
            return await connection.run_sync(_version)


async def _examine(database: Database, newest: str) -> None:
    """Refuse a file whose tables are not those of its version. It is read in one snapshot, since others may be migrating it.

    Raises:
        CentralUnavailable: the store did not answer.
        CentralDamaged: the file is damaged, or another program's.
    """
    with _explained(database, _may_not_read(database)):
        async with database.read() as connection:
            found = await connection.run_sync(_version)
            columns = {(table, column) for table, column in await connection.execute(_COLUMNS)}
    ours = {(table.name, column.name) for table in tables.metadata.tables.values() for column in table.columns}
    there = {table for table, _ in columns} & set(tables.metadata.tables)
    if found is None and there:
        problem = (
            f"it has a table {min(there)}, but no version of its schema: it is another program's, or damaged."
            " Name another file, or restore this one from a copy"
        )
    elif found == newest and (lost := ours - columns):
        problem = f"it is damaged: it has no {'.'.join(min(lost))}. Restore it from a copy"
    else:
        return
    raise CentralDamaged(f"the central store {database.address} cannot be used: {problem}")


def newest_version() -> str:
    """The version of the schema that this program needs."""
    return max(each.name[:_VERSION_LENGTH] for each in _MIGRATIONS.joinpath("versions").iterdir() if each.name[:1].isdigit())


async def lock_schema(connection: AsyncConnection) -> None:
    """Keep others from changing tables and privileges until the transaction ends."""
    if connection.dialect.name != "sqlite":  # there the transaction itself does
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def owners_address(database: Database) -> str:
    """The store's address, with OWNER in place of the user and without a password."""
    if database.is_sqlite:
        return database.address
    url = database.url
    return shown_address(URL.create("postgresql", "OWNER", None, url.host, url.port, url.database, url.query))


@contextmanager
def _explained(database: Database, refused: str) -> Iterator[None]:
    """Turn faults that will not pass by themselves into a line for the operator; `refused` is the line for a lack of
    privileges.
    """
    try:
        yield
    except _UnknownVersion as error:
        raise CentralDamaged(f"the central store {database.address} is not of this version: {error}") from error
    except CentralUnavailable as error:
        if is_refused(error):
            raise NotPermitted(refused) from error
        if error.is_lasting:
            kind = CentralDamaged if error.is_damage else CentralMisconfigured
            raise kind(f"the central store {database.address} cannot be used: {error}") from error
        raise


def _may_not_change(database: Database, found: str | None, newest: str) -> str:
    has = f"has a schema of version {found}" if found else "has no schema yet"
    return (
        f"the central store {database.address} {has}, this program needs version {newest}, and this role may not change it:"
        f" run `creditmeter central migrate --central {owners_address(database)}` with the owner's role"
    )


def _may_not_read(database: Database) -> str:
    role = database.url.username or "ROLE"
    return (
        f"the role {role} may not use the central store {database.address}:"
        f" run `creditmeter central grant-role {role} --central {owners_address(database)}` with the owner's role"
    )


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    if len(found) > 1:
        raise _UnknownVersion("it says that it is of several versions")
    return str(found[0]) if found else None


def _upgrade(connection: Connection, to: str = "head") -> None:
    """Apply the migrations that are missing. It imports Alembic, which takes some 10 MB, only where it is needed."""
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.util import CommandError  # noqa: PLC0415 - see above

    with as_file(_MIGRATIONS) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, to)
        except CommandError as error:
            raise _UnknownVersion(str(error)) from error
