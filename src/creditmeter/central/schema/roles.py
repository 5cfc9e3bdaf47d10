"""What a sidecar's role may do on PostgreSQL: what settlement needs, and nothing that rewrites what happened.

Rows of history, refunds, decided requests and days are only added. Of grants, leases and charges only the columns that change
with use may be updated, and when a grant begins: it begins anew when a clock that was ahead is put right. No grant, charge,
refund or line of history is deleted. What sidecars prune may be deleted: no balance rests on it. Of an account only its running
totals may be updated. Accounts and plans are changed by the owner of the tables, or by a role with administration; such a role
moves the ends of grants too, with an account's calendar.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, text
from sqlalchemy.dialects import postgresql

from creditmeter.central.engine.connections import AsyncConnection
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralMisconfigured, CentralUnavailable, is_refused
from creditmeter.central.schema import tables
from creditmeter.central.schema.migrating import NotPermitted, lock_schema, newest_version, owners_address, version

_VERSION_TABLE = "alembic_version"
_ALL_TABLES = [*sorted(tables.metadata.tables), _VERSION_TABLE]
_RUNNING_TOTALS = (
    "balance_microcredits",
    "last_entry",
    "decided_at",
    "summed_entry",
    "debt_microcredits",
    "to_come_microcredits",
)
_ADDED_TO = (tables.history, tables.refunds, tables.requests, tables.balance_days)
_UPDATED = (
    tables.grants,
    tables.leases,
    tables.charges,
    tables.exchanges,
    tables.sidecars,
    tables.recalls,
    tables.refused_calls,
    tables.alert_watches,
    tables.alert_deliveries,
    tables.chores,
    tables.elapsed_time,
)
_DELETED = (
    tables.recalls,
    tables.refused_calls,
    tables.alert_deliveries,
    tables.leases,
    tables.requests,
    tables.exchanges,
    tables.sidecars,
)

_quoted = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # the library has none there
"""A name in SQL, quoted where needed."""

_ROLE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}")
_RESERVED = ("public", "none")


_OWNS = text(
    "WITH owners AS (SELECT tableowner AS name FROM pg_tables WHERE schemaname = :schema AND tablename = ANY(:tables)"
    " UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = :schema"
    " UNION SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :database)"
    " SELECT count(*) FROM owners WHERE pg_has_role(:role, name, 'MEMBER')"
)

_HAS = text(
    "WITH ours AS (SELECT c.oid, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE nspname = :schema AND relname = ANY(:tables))"
    " SELECT relname, word FROM ours,"
    " unnest(ARRAY['SELECT', 'INSERT', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS word"
    " WHERE has_table_privilege(:role, oid, word)"
    " UNION ALL SELECT relname, 'UPDATE ' || attname FROM ours JOIN pg_attribute ON attrelid = oid"
    " WHERE attnum > 0 AND NOT attisdropped AND has_column_privilege(:role, oid, attname, 'UPDATE')"
    " UNION ALL SELECT nspname, 'USAGE' FROM pg_namespace"
    " WHERE nspname = :schema AND has_schema_privilege(:role, oid, 'USAGE')"
    " UNION ALL SELECT datname, 'CONNECT' FROM pg_database"
    " WHERE datname = :database AND has_database_privilege(:role, oid, 'CONNECT')"
)

_WHO_MAY = "use the role that owns the tables and may make roles, or hand what --sql prints to one that may"


class RoleUnusable(CentralMisconfigured):
    """The role cannot be used for this. The message says why."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a role may do beside settlement: administer accounts and plans, or create accounts on first touch."""

    admin: bool = False
    auto_create: bool = False


@dataclass(frozen=True, slots=True)
class GrantTarget:
    """What privileges are granted on: the database and the schema that the store's tables are in."""

    database: str
    schema: str = "public"


@dataclass(frozen=True, slots=True)
class Granted:
    """What was done: on which database and schema, and whether the role was created, without a password."""

    role: str
    target: GrantTarget
    is_new: bool


@dataclass(frozen=True, slots=True)
class _Privileges:
    """The privileges on one table. UPDATE is always granted on named columns."""

    table: str
    words: tuple[str, ...]
    updated: tuple[str, ...] = ()

    @property
    def one_by_one(self) -> tuple[str, ...]:
        """Each privilege on its own, with one UPDATE for each column."""
        return (*self.words, *(f"UPDATE {column}" for column in self.updated))

    def granted(self, target: GrantTarget, role: str) -> str:
        """The statement that grants them."""
        update = (f"UPDATE ({', '.join(map(_quoted, self.updated))})",) if self.updated else ()
        what = ", ".join((*self.words, *update))
        return f"GRANT {what} ON {_quoted(target.schema)}.{_quoted(self.table)} TO {_quoted(role)}"


def target_of(database: Database) -> GrantTarget:
    """The database that the address names, and the schema `public`.

    Raises:
        RoleUnusable: the store's engine has no roles.
    """
    if database.is_sqlite:
        raise RoleUnusable("SQLite has no roles: every user who can write the central store's file can change all of it")
    return GrantTarget(database.url.database or database.url.username or "")


def statements(role: str, access: Access, target: GrantTarget) -> list[str]:
    """The SQL that creates the role if it is missing, revokes what it had on the store's tables, and grants what it needs.

    Raises:
        RoleUnusable: no role can have this name.
    """
    if role.lower() in _RESERVED or role.lower().startswith("pg_"):
        raise RoleUnusable(f"{role!r} is a name that PostgreSQL keeps for itself: name a role of your own")
    if not _ROLE_NAME.fullmatch(role):
        raise RoleUnusable(f"{role!r} cannot be the name of a role: use 1 to 63 of the letters A to Z, digits, _ . @ and -")
    to, schema = _quoted(role), _quoted(target.schema)
    is_missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
    everything = ", ".join(f"{schema}.{_quoted(name)}" for name in _ALL_TABLES)
    return [
        f"DO $$ BEGIN IF {is_missing} THEN CREATE ROLE {to} LOGIN; END IF; END $$",
        f"REVOKE ALL ON {everything} FROM {to}",
        f"REVOKE CREATE ON SCHEMA {schema} FROM {to}",
        f"GRANT CONNECT ON DATABASE {_quoted(target.database)} TO {to}",
        f"GRANT USAGE ON SCHEMA {schema} TO {to}",
        *(each.granted(target, role) for each in _privileges(access)),
    ]


async def grant_role(database: Database, role: str, access: Access) -> Granted:
    """Give a role the privileges that settlement and `access` need, and no more. What it had on the store's tables is revoked.

    Raises:
        CentralUnavailable: the store did not answer.
        NotPermitted: the role that connects may not do this.
        RoleUnusable: the role owns the tables, or may do more than what is granted to it, by another role or PUBLIC.
        CentralMisconfigured: the store is not of this version.
    """
    statements(role, access, target_of(database))  # a wrong name or engine is refused before the store is asked
    found, newest = await version(database), newest_version()
    if found != newest:
        raise RoleUnusable(
            f"the central store {database.address} has {f'a schema of version {found}' if found else 'no schema yet'}, this"
            f" program needs version {newest}: run `creditmeter central migrate --central {owners_address(database)}` first"
        )
    try:
        async with database.write() as connection:
            await lock_schema(connection)
            return await _grant(connection, role, access)
    except CentralUnavailable as error:
        if not is_refused(error):
            raise
        reason = str(error).rpartition(">: ")[2]  # without the name of the driver's class
        raise NotPermitted(f"the role that connected may not do this ({reason}): {_WHO_MAY}") from error


async def _grant(connection: AsyncConnection, role: str, access: Access) -> Granted:
    target = await _target(connection)
    is_new = (await connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})).first() is None
    if not is_new:
        await _check_owns_nothing(connection, role, target)
    for statement in statements(role, access, target):
        await connection.exec_driver_sql(statement)
    await _check_has_just_this(connection, role, target, access)
    return Granted(role, target, is_new)


async def _target(connection: AsyncConnection) -> GrantTarget:
    query = text(
        "SELECT current_database(), nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(:name)"
    )
    return GrantTarget(*(await connection.execute(query, {"name": _VERSION_TABLE})).one())


async def _check_owns_nothing(connection: AsyncConnection, role: str, target: GrantTarget) -> None:
    """Refuse a role that owns the tables, schema or database, or may act as their owner: it could change them in any case."""
    if (await connection.execute(_OWNS, _about(role, target))).scalar_one():
        raise RoleUnusable(
            f"the role {role} owns the central store's tables, schema or database, is a member of a role that does, or is a"
            " superuser: nothing keeps it from changing history; name another role for sidecars"
        )


async def _check_has_just_this(connection: AsyncConnection, role: str, target: GrantTarget, access: Access) -> None:
    """Check that the role has the wanted privileges and no others.

    Privileges by PUBLIC or by membership in another role stay when they are revoked from this role. And if the role that
    connects may not grant, the server only warns and grants nothing.
    """
    has = {(table, word) for table, word in await connection.execute(_HAS, _about(role, target))}
    wanted = {(each.table, word) for each in _privileges(access) for word in each.one_by_one}
    wanted |= {(target.schema, "USAGE"), (target.database, "CONNECT")}
    if has - wanted:
        raise RoleUnusable(
            f"the role {role} would still have {_listed(has - wanted)}, by PUBLIC or by another role that it is a member of:"
            " take that away first; nothing was changed"
        )
    if wanted - has:
        raise NotPermitted(f"{_listed(wanted - has)} cannot be granted by the role that connected: {_WHO_MAY}")


def _about(role: str, target: GrantTarget) -> dict[str, object]:
    return {"role": role, "tables": _ALL_TABLES, "schema": target.schema, "database": target.database}


def _listed(privileges: set[tuple[str, str]]) -> str:
    """Privileges on tables, for a message. Columns are left out."""
    return ", ".join(sorted({f"{word.partition(' ')[0]} on {table}" for table, word in privileges}))


def _privileges(access: Access) -> Iterator[_Privileges]:
    for table in _ADDED_TO:
        delete = ("DELETE",) if table in _DELETED else ()
        yield _Privileges(table.name, ("SELECT", "INSERT", *delete))
    for table in _UPDATED:
        forgets = table in _DELETED or (access.admin and table is tables.alert_watches)
        delete = ("DELETE",) if forgets else ()
        moved = _moved(access) if table is tables.grants else ()
        yield _Privileges(table.name, ("SELECT", "INSERT", *delete), _names((*tables.changing(table), *moved)))
    if access.admin:
        yield _Privileges(tables.plans.name, ("SELECT", "INSERT"), _names(tables.changing(tables.plans)))
        yield _Privileges(tables.accounts.name, ("SELECT", "INSERT"), tuple(tables.accounts.columns.keys()))
        yield _Privileges(tables.rate_cards.name, ("SELECT", "INSERT"))
    else:
        insert = ("INSERT",) if access.auto_create else ()
        yield _Privileges(tables.plans.name, ("SELECT",))
        yield _Privileges(tables.rate_cards.name, ("SELECT",))
        yield _Privileges(tables.accounts.name, ("SELECT", *insert), _RUNNING_TOTALS)
    yield _Privileges(_VERSION_TABLE, ("SELECT",))


def _moved(access: Access) -> tuple[Column[Any], ...]:
    """The moments of grants that may change: beginnings when a clock that was ahead is put right, ends with a calendar."""
    grants = tables.grants.c
    return grants.effective_at, grants.created_at, *((grants.expires_at,) if access.admin else ())


def _names(columns: Iterable[Column[Any]]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
