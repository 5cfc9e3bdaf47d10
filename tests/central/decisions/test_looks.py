"""A look at a message: it is answered as the message would be, but only if that would change nothing."""

import pytest
from sqlalchemy import text

from creditmeter.central.decisions.accounts import open_ledger
from creditmeter.central.store import CentralStore
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Alert
from creditmeter.core.credit.administration import AccountUpdate
from creditmeter.core.credit.messages import Answer, Fenced, Message
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import DAY, MINUTE, SECOND
from creditmeter.core.values import replace
from tests.central.accounts import ACME, count, give, opened, update
from tests.central.peer import Peer
from tests.clocks import ManualClock

OTHER = AccountId("other")


async def look(store: CentralStore, *messages: Message) -> tuple[Answer | None, ...]:
    """The answers of a look."""
    found = await store.exchanges.look(messages)
    assert isinstance(found, tuple)
    return found


async def test_it_answers_as_the_message_would_be(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """What is held here and elsewhere included. Nothing of it counts as sent."""
    await opened(store, permanent=100)
    await here.exchange(need=40)
    await elsewhere.exchange(need=60)
    await elsewhere.holds(50, unposted=10)
    await here.holds(40)
    message = here.message(need=70, leases=here.reports(held=40))
    (found,) = await look(store, message)
    assert found is not None
    assert (found.granted, found.short, found.free, found.is_pending) == (0, 70, 0, False)
    assert await count(store, "recalls") == 0
    assert await here.send(message) == found


async def test_it_waits_for_nobody_who_writes(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """It is taken from a snapshot, while another transaction has the account."""
    await opened(store, permanent=100)
    message = here.message(need=101)
    async with store.database.write() as connection:
        assert await open_ledger(connection, ACME, clock.wall()) is not None
        assert (await look(store, message))[0] is not None


@pytest.mark.parametrize("span", [SECOND, MINUTE])
async def test_a_renewal_alone_is_no_change(store: CentralStore, here: Peer, clock: ManualClock, span: int) -> None:
    """And a look renews nothing."""
    await opened(store, permanent=100)
    await here.exchange(need=100)
    await here.holds(100)
    async with store.database.read() as connection:
        before = await open_ledger(connection, ACME, clock.wall(), lock=False)
    clock.advance(span)
    assert (await look(store, here.message(need=1, leases=here.reports(held=100))))[0] is not None
    async with store.database.read() as connection:
        after = await open_ledger(connection, ACME, clock.wall(), lock=False)
    assert before is not None
    assert after is not None
    assert before.ledger.leases == after.ledger.leases


async def test_what_changes_anything_has_to_be_sent(store: CentralStore, here: Peer, elsewhere: Peer) -> None:
    """Credit that is there, a charge, a hold that began or ended, credit that is given back, and a recall."""
    await opened(store, permanent=100)
    await here.exchange(need=40)
    await here.holds(40)
    full = here.reports(held=40)
    for message in (
        here.message(need=60, leases=full),
        here.message(here.charge("c", 4), need=61, leases=here.reports(held=36)),
        here.message(need=61, leases=here.reports(held=39)),
        here.message(need=61, leases=here.reports(held=39, idle=False)),
        here.message(need=61, leases=here.reports(held=39, unposted=1)),
        here.message(need=61, leases=[]),
        elsewhere.message(need=61),
    ):
        assert await look(store, message) == (None,)
    assert (await look(store, here.message(need=61, leases=full)))[0] is not None
    await elsewhere.exchange(need=61)
    assert await count(store, "recalls") == 1
    assert await look(store, here.message(need=101, leases=full)) == (None,), "it is an answer to the recall"


async def test_alerts_are_no_exception(store: CentralStore, here: Peer) -> None:
    """What changes them has to be sent."""
    await opened(store, permanent=100)
    await update(store, "alerts", AccountUpdate(alerts=(Alert(Microcredits(500)),)))
    async with store.database.write() as connection:
        await connection.execute(text("DELETE FROM alert_watches"))
    assert await look(store, here.message(need=101)) == (None,)
    await here.exchange(need=101)
    assert (await look(store, here.message(need=101)))[0] is not None


async def test_an_account_that_was_decided_about_in_the_future(store: CentralStore, here: Peer, clock: ManualClock) -> None:
    """Its next message has to be sent, whatever it says: then decisions go on at the real time."""
    await opened(store, permanent=100)
    clock.step_wall(2 * DAY)
    await here.exchange(need=101)
    assert (await look(store, here.message(need=101)))[0] is not None
    clock.step_wall(-2 * DAY)
    assert await look(store, here.message(need=101)) == (None,)
    await here.exchange(need=101)
    assert (await look(store, here.message(need=101)))[0] is not None


async def test_several_accounts_at_once(store: CentralStore, here: Peer) -> None:
    """Each by itself, in their order. One that does not exist has to be asked about: it may be created."""
    await opened(store, permanent=100)
    await opened(store, OTHER, permanent=100)
    nobody = AccountId("nobody")
    asked = [here.message(account=each, need=need) for each, need in ((OTHER, 101), (nobody, 1), (ACME, 100))]
    found = await look(store, *asked)
    assert [each is None for each in found] == [False, True, True]
    await give(store, "more", 1, account_id=OTHER)
    assert await look(store, *asked) == (None, None, None)


async def test_another_run_is_fenced_off(store: CentralStore, here: Peer) -> None:
    """As it is with its messages."""
    await opened(store, permanent=100)
    message = replace(here.message(need=101), epoch=2)
    assert await store.exchanges.look([message]) == Fenced(here.sidecar_id)


async def test_a_server_that_takes_no_writes_answers_no_look(postgres_url: str, clock: ManualClock) -> None:
    """It may be behind: credit may have been given since."""
    async with CentralStore(postgres_url, clock.wall) as store:
        await store.migrate()
        here = await Peer.registered(store, clock, "s1")
        await opened(store, permanent=100)
        message = here.message(need=101)
        assert (await look(store, message))[0] is not None
        async with store.database.write() as connection:
            name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
            await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    async with CentralStore(f"{postgres_url}?target_session_attrs=any", clock.wall) as store:
        assert await look(store, message) == (None,)
