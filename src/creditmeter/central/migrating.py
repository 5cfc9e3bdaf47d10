"""Bringing the central store's schema up to date with Alembic's migrations.

Several sidecars may start at once: SQLite's write lock, or an advisory lock on PostgreSQL, lets one migrate and the others
find it done.
"""

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from creditmeter.central.database import CentralMisconfigured, CentralUnavailable, Database

_ADVISORY_LOCK = 4_743_001


async def migrate(database: Database) -> None:
    """Apply the migrations that are missing.

    Raises:
        CentralUnavailable: the store did not answer.
        CentralMisconfigured: the store is not there, is damaged, is another program's, or is newer than this one.
    """
    try:
        async with database.write() as connection:
            if not database.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            await connection.run_sync(_upgrade)
    except CommandError as error:
        raise CentralMisconfigured(f"the central store {database.address} is not of this version: {error}") from error
    except CentralUnavailable as error:
        if error.is_lasting:
            raise CentralMisconfigured(f"the central store {database.address} cannot be used: {error}") from error
        raise


def _upgrade(connection: Connection) -> None:
    with as_file(files("creditmeter.central").joinpath("migrations")) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
