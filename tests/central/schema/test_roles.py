"""The role that a sidecar connects with on PostgreSQL: it settles, and cannot rewrite what happened."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from creditmeter.central.decisions.pruning import HEARING
from creditmeter.central.engine.database import Database
from creditmeter.central.engine.faults import CentralMisconfigured, CentralUnavailable
from creditmeter.central.schema import tables
from creditmeter.central.schema.migrating import Migration, NotPermitted, lock_schema, migrate, newest_version, version
from creditmeter.central.schema.roles import Access, Granted, GrantTarget, RoleUnusable, grant_role, statements, target_of
from creditmeter.central.store import CentralStore
from creditmeter.central.verification.verification import verify
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.charges import RefundMode
from creditmeter.core.credit.grants import GrantKind
from creditmeter.core.ids import AccountId, PlanId
from creditmeter.core.instants import DAY, HOUR, SECOND, Instant
from creditmeter.core.prices.rate_cards import LoadedCard
from tests.central.accounts import account, assign, count, create, give, lines, opened, put_plan, update
from tests.central.peer import Peer
from tests.clocks import ManualClock
from tests.postgres import PostgresServer
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import charge, charge_id, commit, held, refund, release

SETTLES = Access()
OWNER = "creditmeter_owner"


@dataclass(frozen=True)
class Roles:
    """A database with an owner who is no superuser, and the name of a role for sidecars."""

    url: str

    @property
    def name(self) -> str:
        """The database's name."""
        return self.url.rpartition("/")[2]

    @property
    def owner(self) -> str:
        """The address with the owner's role."""
        return self.url.replace("postgres@", f"{OWNER}@")

    @property
    def role(self) -> str:
        """The role's name."""
        return f"{self.name}_sidecar"

    @property
    def sidecar(self) -> str:
        """The address with the sidecar's role."""
        return self.url.replace("postgres@", f"{self.role}@")

    async def migrate(self) -> Migration:
        """Bring the schema up to date, as its owner."""
        database = Database(self.owner)
        try:
            return await migrate(database)
        finally:
            await database.close()

    async def grant(self, access: Access = SETTLES, *, by: str = "", role: str = "") -> Granted:
        """Let the role settle, as the owner."""
        database = Database(by or self.owner)
        try:
            return await grant_role(database, role or self.role, access)
        finally:
            await database.close()

    async def complaint(self, access: Access = SETTLES, *, by: str = "", role: str = "") -> str:
        """Why a role cannot be granted anything: one line."""
        with pytest.raises(CentralMisconfigured) as refused:
            await self.grant(access, by=by, role=role)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    async def run(self, *statements: str, by: str = "") -> list[Any]:
        """Run statements as the sidecar's role, or as another's; returns the rows of the last one."""
        connection = await asyncpg.connect(by or self.sidecar)
        try:
            return list([await connection.fetch(sql) for sql in statements][-1])
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def the_owner(postgres_server: PostgresServer) -> str:
    """The role that owns each database: it may make roles, and is no superuser."""
    postgres_server.start()
    roles = Roles(postgres_server.create_database("of_nobody"))
    asyncio.run(roles.run(f"CREATE ROLE {OWNER} LOGIN CREATEROLE", by=roles.url))
    return OWNER


@pytest.fixture(scope="session")
def schema(postgres_server: PostgresServer, the_owner: str) -> str:
    """A database that its owner migrated. That takes longer than most tests run, so they have copies of it."""
    postgres_server.start()
    roles = Roles(postgres_server.create_database("owned", owner=the_owner))
    assert asyncio.run(roles.migrate()) == Migration(None, newest_version())
    return roles.url


@pytest.fixture
def roles(postgres_server: PostgresServer, the_owner: str) -> Iterator[Roles]:
    """An empty database that belongs to its owner, not to the server's."""
    postgres_server.start()
    url = postgres_server.create_database(owner=the_owner)
    yield Roles(url)
    postgres_server.drop_database(url)


@pytest.fixture
def copied(postgres_server: PostgresServer, the_owner: str, schema: str) -> Iterator[Roles]:
    """A database with the schema, both its owner's."""
    postgres_server.start()
    url = postgres_server.create_database(like=schema, owner=the_owner)
    yield Roles(url)
    postgres_server.drop_database(url)


@pytest.fixture
async def ready(copied: Roles) -> Roles:
    """The same, and a role that settles."""
    assert await copied.grant() == Granted(copied.role, GrantTarget(copied.name), is_new=True)
    return copied


@pytest.fixture
async def owner(ready: Roles, clock: ManualClock) -> AsyncIterator[CentralStore]:
    """The store as its owner sees it. After each test what is stored must add up."""
    async with CentralStore(ready.owner, clock.wall) as store:
        yield store
    assert (await verify(ready.owner)).problems == ()


@pytest.fixture
async def sidecars(ready: Roles, clock: ManualClock) -> AsyncIterator[CentralStore]:
    """The store as sidecars see it."""
    async with CentralStore(ready.sidecar, clock.wall) as store:
        yield store


@pytest.fixture
async def running(ready: Roles, tmp_path: Path, clock: ManualClock, card: LoadedCard) -> AsyncIterator[Bench]:
    """A sidecar that runs with the sidecar's role, which finds the schema as it should be."""
    async with CentralStore(ready.sidecar, clock.wall) as store:
        await store.migrate()
    bench = Bench(tmp_path, clock, card, ready.sidecar)
    await bench.start()
    yield bench
    await bench.crash()


# What it can do.


async def test_a_sidecar_settles(running: Bench, owner: CentralStore, clock: ManualClock) -> None:
    """From the first lease to the last refund, over a crash and into the next day, on an account that the owner opened."""
    await opened(owner, ACCOUNT, daily=credits(3), permanent=credits(10), overdraft=credits(5))
    await release(running, "released", await held(running, "r1", 2))
    hold = await held(running, "r2", 5)
    first = charge_id(await commit(running, "c1", hold, 2, keep_open=True))
    await running.sidecar.settle()
    await running.restart()
    second = charge_id(await commit(running, "c2", hold, 4))
    await refund(running, "early", second, 1)
    await running.sidecar.settle()
    await refund(running, "back", first, 1)
    await refund(running, "goodwill", first, 1, mode=RefundMode.GOODWILL)
    await charge(running, "beyond", 12, already_incurred=True)
    await running.sidecar.settle()
    assert (await running.summary()).debt == credits(2)
    clock.advance(DAY)
    await running.sidecar.tidy()
    await running.sidecar.settle()
    types = [kind for kind, _, _ in await lines(owner, ACCOUNT)]
    assert {"GRANTED", "CHARGED", "REFUNDED", "DEBT_REPAID"} <= set(types)
    assert [each.type.value for each in await running.history()] == types
    assert (await running.summary()).debt == 0


async def test_a_sidecar_gives_credit(owner: CentralStore, sidecars: CentralStore) -> None:
    """Plan grants, goodwill and an operator's grants through it are rows that it must be able to add."""
    await opened(owner)
    assert (await give(sidecars, "more", 5)).remaining == 5
    assert await lines(owner) == [("GRANTED", 5, 5)]


async def test_duplicates_and_late_posts_are_settled(
    ready: Roles, owner: CentralStore, sidecars: CentralStore, clock: ManualClock
) -> None:
    """What changes a row that another sidecar wrote."""
    await opened(owner, permanent=20)
    here, there = [await Peer.registered(sidecars, clock, name) for name in ("s1", "s2")]
    for sidecar in (here, there):
        await sidecar.exchange(need=8)
    for sidecar in (here, there, here):
        await sidecar.exchange(sidecar.charge("once", 4, request="job"))
    clock.advance(HOUR)
    await here.exchange(here.charge("late", 2, excess=1))
    assert await count(owner, "charges") == 3
    assert [each for each in await lines(owner) if each[0] == "CHARGED"] == [("CHARGED", -4, 16), ("CHARGED", -3, 13)]


async def test_recalls_come_and_go(ready: Roles) -> None:
    """They are no record of anything: what was asked for is forgotten once it is there."""
    columns = "account_id, sidecar_id, purpose, number, amount_microcredits, smallest_microcredits, asked_at, deadline, awaited"
    await ready.run(f"INSERT INTO recalls ({columns}, is_ripe) VALUES ('a', 's', 'p', 1, 5, 5, 0, 9, '[]', false)")
    await ready.run("UPDATE recalls SET is_ripe = true, deadline = 10")
    assert len(await ready.run("DELETE FROM recalls RETURNING account_id")) == 1


async def test_alerts_fire_and_are_delivered(
    ready: Roles, owner: CentralStore, sidecars: CentralStore, clock: ManualClock
) -> None:
    """With the sidecar's role; to set them is administration, which may take them away again, too."""
    await opened(owner, permanent=100)
    await update(owner, "alerts", AccountUpdate(alerts=(Alert(percent=50),)))
    here = await Peer.registered(sidecars, clock, "s1")
    await here.exchange(here.charge("a", 0, excess=60))
    (delivery,) = await sidecars.deliveries.claim(9, HOUR)
    await sidecars.deliveries.postpone(delivery, clock.wall())
    (delivery,) = await sidecars.deliveries.claim(9, HOUR)
    await sidecars.deliveries.finish(delivery)
    assert await sidecars.deliveries.drop_old(Instant(0)) == 0
    assert await count(owner, "alert_deliveries") == 0
    await ready.grant(Access(admin=True))
    await update(sidecars, "none", AccountUpdate(alerts=()))
    assert await count(owner, "alert_watches") == 0


async def test_a_sidecar_prunes(ready: Roles, owner: CentralStore, sidecars: CentralStore, clock: ManualClock) -> None:
    """With its own role, what nothing needs any more; what a balance rests on stays."""
    await opened(owner, permanent=9)
    here = await Peer.registered(sidecars, clock, "s1")
    await here.exchange(need=4)
    await here.exchange(here.charge("a", 4))
    await sidecars.pruning.prune()
    clock.advance(100 * DAY)
    await Peer.registered(sidecars, clock, "s2")
    await here.exchange(leases=())
    await sidecars.pruning.prune()
    clock.advance(HEARING)
    assert set(await sidecars.pruning.prune()) == {"leases", "requests", "sidecars", "exchanges"}


# What it cannot do.


def each_table(pattern: str, *but: str) -> list[str]:
    """A statement for every table; NAME is its name, KEY is the first column of its primary key."""
    names = {table.name: next(iter(table.primary_key.columns)).name for table in tables.metadata.sorted_tables}
    return [pattern.replace("NAME", table).replace("KEY", key) for table, key in names.items() if table not in but]


PRUNED = ("recalls", "refused_calls", "alert_deliveries", "leases", "requests", "exchanges", "sidecars")

FORBIDDEN = {
    "to change what was written down": [
        "UPDATE history SET amount_microcredits = 0",
        "UPDATE history SET note = ''",
        "INSERT INTO history (account_id, number) VALUES ('a', 1) ON CONFLICT (account_id, number) DO UPDATE SET note = ''",
        "UPDATE refunds SET restored_microcredits = 0",
        "UPDATE requests SET reply = ''",
        "LOCK history",
    ],
    "to make a grant, a lease or a charge another one": [
        "UPDATE grants SET kind = 'PERMANENT'",
        "UPDATE grants SET expires_at = NULL",
        "UPDATE grants SET amount_microcredits = 1000000000",
        "UPDATE grants SET source = 'GOODWILL', note = 'forged'",
        "UPDATE leases SET sidecar_id = 'another'",
        "UPDATE leases SET ends_at = 0",
        "UPDATE charges SET cost_microcredits = 0",
        "UPDATE charges SET request_id = 'another'",
        "UPDATE alert_deliveries SET body = '{}'",
        "UPDATE alert_watches SET percent = 1",
    ],
    "to move a row to another place": each_table("UPDATE NAME SET KEY = KEY"),
    "to delete a row": each_table("DELETE FROM NAME", *PRUNED),
    "to delete all rows": each_table("TRUNCATE NAME"),
    "to say what an account or a plan is": [
        "UPDATE accounts SET overdraft_limit_microcredits = 1000000000",
        "UPDATE accounts SET offline_allowance_microcredits = 1000000000",
        "UPDATE accounts SET state = 'ACTIVE'",
        "UPDATE accounts SET plan_id = 'pro'",
        "INSERT INTO accounts (account_id) VALUES ('a')",
        "INSERT INTO plans (plan_id) VALUES ('p')",
        "UPDATE plans SET daily_microcredits = 1000000000",
        "INSERT INTO rate_cards (version) VALUES ('v')",
        "UPDATE rate_cards SET document = ''",
    ],
    "to drop a table": each_table("DROP TABLE NAME"),
    "to alter a table": each_table("ALTER TABLE NAME ADD COLUMN more int"),
    "to change the schema otherwise": [
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "ALTER TABLE history OWNER TO CURRENT_USER",
        "ALTER TABLE history DISABLE TRIGGER USER",
        "CREATE TRIGGER t BEFORE INSERT ON history FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO history DO INSTEAD NOTHING",
        "DROP INDEX history_by_time",
        "CREATE TABLE another (id int)",
        "CREATE VIEW another AS SELECT 1",
        "DROP SCHEMA public CASCADE",
        "CREATE ROLE another",
    ],
}


@pytest.mark.parametrize("attempts", FORBIDDEN.values(), ids=FORBIDDEN)
async def test_it_is_refused(ready: Roles, attempts: list[str]) -> None:
    """By PostgreSQL itself, as a lack of privilege."""
    assert [sql for sql in attempts if not await is_refused(ready, sql)] == []


async def is_refused(roles: Roles, sql: str, url: str = "") -> bool:
    """Whether a statement is refused for lack of privilege; one that is not is undone."""
    connection = await asyncpg.connect(url or roles.sidecar)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(sql)
    except asyncpg.InsufficientPrivilegeError:
        return True
    else:
        return False
    finally:
        await transaction.rollback()
        await connection.close()


async def test_what_is_forbidden_can_be_done_by_the_owner(ready: Roles) -> None:
    """So the statements of this file say what they mean: only the role is why they are refused."""
    alone = {"CREATE ROLE another"}  # whoever may make roles may
    everything = [sql for attempts in FORBIDDEN.values() for sql in attempts if sql not in alone]
    refused = []
    for sql in everything:
        try:
            if await is_refused(ready, sql, ready.owner):
                refused.append(sql)
        except asyncpg.IntegrityConstraintViolationError:
            continue  # a row that lacks something: allowed, but of no use
    assert refused == []


# More than settlement.


async def test_a_role_may_be_given_administration_and_lose_it_again(
    ready: Roles, owner: CentralStore, sidecars: CentralStore
) -> None:
    """Granting again leaves what is asked for last, not what was asked for before."""
    await ready.grant(Access(admin=True))
    await put_plan(sidecars, "pro", 5)
    await put_plan(sidecars, "pro", 6)
    await create(sidecars, account(plan="pro"))
    await put_plan(sidecars, "max", 9)
    await assign(sidecars, "max")
    await give(sidecars, "for a day", 5, GrantKind.DAILY)
    await update(sidecars, "move", AccountUpdate(time_zone="Asia/Tokyo"))
    assert await count(owner, "accounts") == 1
    await ready.grant()
    assert await is_refused(ready, "UPDATE grants SET expires_at = NULL")
    for attempt in (create(sidecars, account(AccountId("b"))), put_plan(sidecars, "pro", 7)):
        with pytest.raises(CentralUnavailable, match="permission denied"):
            await attempt
    await ready.run("GRANT ALL ON history, charges TO " + ready.role, by=ready.owner)
    await ready.run("GRANT UPDATE (note) ON history TO " + ready.role, by=ready.owner)
    assert not await is_refused(ready, "DELETE FROM history")
    assert await ready.grant() == Granted(ready.role, GrantTarget(ready.name), is_new=False)
    for sql in ("DELETE FROM history", "UPDATE history SET note = ''", "DELETE FROM charges"):
        assert await is_refused(ready, sql)


@pytest.mark.parametrize("may", [False, True])
async def test_a_role_may_open_accounts_on_first_touch(
    ready: Roles, owner: CentralStore, clock: ManualClock, may: bool
) -> None:
    """With `auto_create_plan`; but it cannot say otherwise what an account is."""
    await put_plan(owner, "free", 5)
    await ready.grant(Access(auto_create=may))
    async with CentralStore(ready.sidecar, clock.wall, PlanId("free")) as store:
        sidecar = await Peer.registered(store, clock, "s1")
        if may:
            assert (await sidecar.exchange(need=5)).granted == 5
        else:
            with pytest.raises(CentralUnavailable, match="permission denied for table accounts"):
                await sidecar.exchange(need=5)
    assert await count(owner, "accounts") == int(may)
    for sql in ("UPDATE accounts SET plan_id = 'max'", "UPDATE plans SET daily_microcredits = 9", "DELETE FROM accounts"):
        assert await is_refused(ready, sql)


# Granting.


async def test_the_sql_that_is_printed_is_what_is_run(ready: Roles) -> None:
    """A DBA may run it instead, as often as is liked."""
    role = f"{ready.name}-by.hand@Here"
    printed = statements(role, SETTLES, target_of(Database(ready.owner)))
    await ready.run(*printed, *printed, by=ready.owner)
    privileges = "SELECT table_name, column_name, privilege_type FROM information_schema.column_privileges WHERE grantee = "
    by_hand = await ready.run(f"{privileges}'{role}'", by=ready.owner)
    assert sorted(by_hand) == sorted(await ready.run(f"{privileges}'{ready.role}'", by=ready.owner))
    assert not await is_refused(ready, "SELECT * FROM history", ready.url.replace("postgres@", f"{role.replace('@', '%40')}@"))


@pytest.mark.parametrize("access", [SETTLES, Access(admin=True)])
def test_every_table_is_thought_of(access: Access) -> None:
    """A table that is new is granted on purpose, or a sidecar could not read it."""
    printed = statements("sidecar", access, GrantTarget("credits"))
    granted = [sql.partition(" ON public.")[2].removesuffix(" TO sidecar") for sql in printed if " ON public." in sql]
    assert sorted(granted[1:]) == sorted([*tables.metadata.tables, "alembic_version"])


@pytest.mark.parametrize("name", ["", "public", "None", "pg_monitor", 'a"b', "a'b", "a b", "x" * 64, "-x", "a;b", "a\n"])
def test_what_is_no_name_of_a_role(name: str) -> None:
    """Nothing is asked of the store."""
    with pytest.raises(RoleUnusable, match=r"cannot be the name of a role|keeps for itself"):
        statements(name, SETTLES, GrantTarget("credits"))


def test_sqlite_has_no_roles(tmp_path: Path) -> None:
    """Files have permissions instead, and no file is made."""
    with pytest.raises(RoleUnusable, match="SQLite has no roles"):
        asyncio.run(grant_role(Database(f"sqlite:///{tmp_path}/central.db"), "sidecar", SETTLES))
    assert list(tmp_path.iterdir()) == []


async def test_the_schema_comes_first(roles: Roles) -> None:
    """There must be tables to grant anything on, and all of this version's."""
    line = await roles.complaint()
    assert "has no schema yet" in line
    assert f"run `creditmeter central migrate --central postgresql://OWNER@{roles.url.rpartition('@')[2]}` first" in line


async def test_a_role_that_is_stronger_than_what_is_granted(ready: Roles) -> None:
    """The owner, a superuser, a member of the owner: nothing keeps them from changing history, and nothing is revoked."""
    member = f"{ready.name}_member"
    await ready.run(f"CREATE ROLE {member} LOGIN IN ROLE {OWNER}", by=ready.url)
    for role in (OWNER, member, "postgres"):
        assert "name another role for sidecars" in await ready.complaint(role=role, by=ready.url)
    assert not await is_refused(ready, "TRUNCATE history", ready.owner)


async def test_a_role_that_would_keep_more_by_another_way(ready: Roles) -> None:
    """What PUBLIC may do, everyone may: it is named, and nothing is changed."""
    await ready.run(f"REVOKE INSERT ON requests FROM {ready.role}", by=ready.owner)
    await ready.run("GRANT DELETE, UPDATE (note) ON history TO PUBLIC", by=ready.owner)
    assert "would still have DELETE on history, UPDATE on history, by PUBLIC or" in await ready.complaint()
    assert await is_refused(ready, "INSERT INTO requests SELECT * FROM requests")


async def test_only_the_owner_grants(ready: Roles) -> None:
    """A sidecar's role cannot hand on what it has, nor make roles."""
    line = await ready.complaint(by=ready.sidecar, role=f"{ready.name}_other")
    assert "may not do this (permission denied to create role)" in line
    assert "--sql" in line
    line = await ready.complaint(Access(admin=True), by=ready.sidecar)
    assert (
        "INSERT on accounts, INSERT on plans, INSERT on rate_cards, UPDATE on accounts, UPDATE on grants, UPDATE on plans"
        " cannot be granted" in line
    )


# Starting on a schema that is the owner's to change.


async def test_a_schema_that_is_up_to_date_is_only_looked_at(owner: CentralStore, sidecars: CentralStore) -> None:
    """So a sidecar starts on it; even while somebody else has it locked for a change."""
    async with owner.database.write() as connection:
        await lock_schema(connection)
        assert await migrate(sidecars.database) == Migration(newest_version(), newest_version())


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (None, "has no schema yet, this program needs version"),
        ("UPDATE alembic_version SET version_num = '0001'", "has a schema of version 0001, this program needs version"),
        ("REVOKE ALL ON SCHEMA public FROM PUBLIC, ROLE", "has no schema yet"),
    ],
)
async def test_a_schema_that_it_may_not_change(roles: Roles, before: str | None, says: str) -> None:
    """The line says what the owner is to run; nothing was changed."""
    if before is None:
        await roles.run(f"CREATE ROLE {roles.role} LOGIN", by=roles.url)
    else:
        await roles.migrate()
        await roles.grant()
        await roles.run(before.replace("ROLE", roles.role), by=roles.owner)
    database = Database(roles.sidecar)
    with pytest.raises(NotPermitted) as refused:
        await migrate(database)
    await database.close()
    assert says in str(refused.value)
    where = roles.url.rpartition("@")[2]
    assert f"run `creditmeter central migrate --central postgresql://OWNER@{where}` with the owner's role" in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_the_role_of_a_sidecar_finds_out_whether_the_store_works(ready: Roles) -> None:
    """By nothing but what it may do in any case."""
    async with CentralStore(ready.sidecar, None) as store:
        await store.ping()


async def test_a_role_that_was_never_granted_anything(copied: Roles) -> None:
    """The line says what the owner is to run."""
    await copied.run(f"CREATE ROLE {copied.role} LOGIN", by=copied.url)
    database = Database(copied.sidecar)
    with pytest.raises(NotPermitted, match=f"run `creditmeter central grant-role {copied.role} --central postgresql://OWNER@"):
        await version(database)
    await database.close()


async def test_a_schema_of_a_newer_program(ready: Roles) -> None:
    """It is not this role that is wrong."""
    await ready.run("UPDATE alembic_version SET version_num = '9999'", by=ready.owner)
    database = Database(ready.sidecar)
    with pytest.raises(CentralMisconfigured, match="is not of this version") as refused:
        await migrate(database)
    await database.close()
    assert not isinstance(refused.value, NotPermitted)


async def test_a_role_that_may_migrate_does(roles: Roles, clock: ManualClock) -> None:
    """As on a database of its own, where nobody set up anything."""
    async with CentralStore(roles.owner, clock.wall) as store:
        await store.migrate()
        await opened(store, permanent=5)
        assert await version(store.database) == newest_version()


async def test_without_the_right_to_delete_a_sidecar_goes_on(
    ready: Roles, running: Bench, owner: CentralStore, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with the privileges of an older version: it settles and beats, prunes nothing, and says so once."""
    await opened(owner, ACCOUNT, permanent=credits(9))
    async with owner.database.write() as connection:
        await connection.execute(text(f"REVOKE ALL ON chores FROM {ready.role}"))
    for _ in range(9):
        await running.sidecar.beat()
        clock.advance(15 * SECOND)
    await charge(running, "c", 2)
    await running.sidecar.settle()
    assert (await running.summary()).available == credits(7)
    assert capsys.readouterr().out.count("old rows of the central store stay") == 1
    assert await count(owner, "chores") == 0
