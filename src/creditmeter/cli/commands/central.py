"""`creditmeter central`: makes and migrates the schema of a central store, and grants rights to the roles of sidecars."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from creditmeter.central.engine.faults import CentralDamaged, CentralMisconfigured, CentralUnavailable
from creditmeter.cli.connection import central_url, failed_store
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import Central
from creditmeter.cli.screen import print_document, print_lines

if TYPE_CHECKING:
    from creditmeter.central.engine.database import Database
    from creditmeter.central.schema.migrating import Migration
    from creditmeter.central.schema.roles import Granted

_Done = TypeVar("_Done")

commands = typer.Typer(help="Set up a central store with its owner's role.")


@commands.command()
def migrate(central: Central = None) -> None:
    """Bring the schema up to this version's. Run it with the role that owns the tables. May be repeated.

    A sidecar does the same when it starts, if its role may.
    """
    from creditmeter.central.schema import migrating  # noqa: PLC0415 - most commands need no database

    print_lines(_migrated(_done(_opened(central), migrating.migrate)))


@commands.command("grant-role")
def grant_role(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The role that sidecars connect with.", show_default=False)],
    central: Central = None,
    admin: Annotated[bool, typer.Option("--admin", help="Let it administer too: open and change accounts and plans.")] = False,
    auto_create: Annotated[
        bool, typer.Option("--auto-create", help="Let it open accounts on first touch (auto_create_plan).")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements, and run none.")] = False,
) -> None:
    """Let a role of PostgreSQL do what a sidecar's settlement needs, and no more.

    Makes the role if it is missing, and takes from it what it had on the central store's tables before. Run it with the
    role that owns the tables, and again after each `central migrate` that changed something. May be repeated.
    """
    from creditmeter.central.schema import roles  # noqa: PLC0415 - most commands need no database

    access = roles.Access(admin=admin, auto_create=auto_create)
    database = _opened(central)
    try:
        statements = roles.statements(name, access, roles.target_of(database))
    except roles.RoleUnusable as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    if sql:
        print_document("".join(f"{each};\n" for each in ("BEGIN", *statements, "COMMIT")))
    else:
        print_lines(_granted(_done(database, lambda opened: roles.grant_role(opened, name, access))))


def _opened(central: str | None) -> "Database":
    """The central store, not connected yet."""
    from creditmeter.central.engine.database import Database  # noqa: PLC0415 - most commands need no database

    return Database(central_url(central))


def _done(database: "Database", work: "Callable[[Database], Awaitable[_Done]]") -> _Done:
    """Do some work on a store.

    Raises:
        CommandFailed: the role lacks the rights, or the store is damaged, cannot be used or does not answer.
    """
    from creditmeter.central.schema.migrating import NotPermitted  # noqa: PLC0415 - most commands need no database
    from creditmeter.central.schema.roles import RoleUnusable  # noqa: PLC0415 - most commands need no database

    async def run() -> _Done:
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except (NotPermitted, RoleUnusable) as error:
        raise CommandFailed(str(error)) from error
    except CentralDamaged as error:
        raise CommandFailed(str(error), ExitCode.DAMAGED) from error
    except CentralMisconfigured as error:
        raise CommandFailed(str(error), ExitCode.UNREACHABLE) from error
    except CentralUnavailable as error:
        raise failed_store(error) from error


def _migrated(migration: "Migration") -> str:
    if migration.before == migration.after:
        return f"nothing to do: the schema is of version {migration.after}"
    if migration.before is None:
        return f"made the schema, version {migration.after}"
    again = "run `creditmeter central grant-role` again for the roles of sidecars, if they have roles of their own"
    return f"brought the schema from version {migration.before} to {migration.after}; {again}"


def _granted(granted: "Granted") -> str:
    where = f"the database {granted.target.database}, schema {granted.target.schema}"
    done = f"the role {granted.role} may settle in {where}, and no more than what was asked for"
    if granted.is_new:
        return f"{done}; it is new and has no password: set one with \\password {granted.role} in psql"
    return done
