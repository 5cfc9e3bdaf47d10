"""Rate cards at a running sidecar: picked up while it runs, kept for the reservations that were made by them."""

import asyncio
import zlib

import pytest
from sqlalchemy import update

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.central.schema import tables
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.history import EntryType
from creditmeter.core.credit.requests import ChargeNow, Commit, Done, Extend, Reserve
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.ids import RequestId
from creditmeter.core.instants import DAY, HOUR, MINUTE, Instant, Span, to_datetime
from creditmeter.core.metering.decisions import Limits
from creditmeter.core.prices.price_table import PriceLine
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.core.refusals import UnpricedWork
from creditmeter.core.work import Usage, Work
from creditmeter.forms.price_lists import PRICE_LIST
from creditmeter.forms.rate_cards import load
from creditmeter.journal.faults import StorageUnavailable
from creditmeter.sidecar.card_keeper import UNNEEDED_FOR, CardChanged
from creditmeter.sidecar.outcomes import Outcome
from tests.clocks import NOON
from tests.sidecar.bench import ACCOUNT, Bench, credits
from tests.sidecar.requests import receipt, reservation

TEXT = Work(action="text", request_model="house", input_tokens=1_000_000, max_output_tokens=0)


def document(version: str, price: int, effective_from: Instant = NOON) -> str:
    """A card by which a million tokens cost so many credits."""
    return f"""
        version = "{version}"
        effective_from = {to_datetime(effective_from).isoformat()}
        [[text.models]]
        model = "house"
        unit = "credits"
        input = {price}
        output = {price}
        """


async def publish(bench: Bench, version: str, price: int, effective_from: Instant = NOON) -> None:
    """Publish a card at the central store."""
    text = document(version, price, effective_from)
    loaded = load(text, bundled_price_list)
    assert isinstance(await bench.central.rate_cards.publish(loaded.card, text, loaded.kept.price_list), Done)


async def reserve(bench: Bench, request_id: str) -> Outcome:
    """Reserve a million tokens."""
    return await bench.sidecar.meter.answer(Reserve(RequestId(request_id), ACCOUNT, work=TEXT))


async def held(bench: Bench, request_id: str) -> Reservation:
    """A reservation that was granted."""
    return reservation(await reserve(bench, request_id))


async def committed(bench: Bench, request_id: str, hold: Reservation) -> tuple[Microcredits, str]:
    """What a million tokens cost, and by which card."""
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    done = receipt(await bench.sidecar.meter.answer(Commit(RequestId(request_id), hold.reservation_id, usage=usage)))
    assert done.charge is not None
    return done.charge.cost, done.charge.rate_card_version


async def test_a_published_card_is_picked_up_and_old_holds_keep_theirs(bench: Bench) -> None:
    """Without a restart; history names both versions."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    old = await held(bench, "old")
    await publish(bench, "v2", 5)
    assert (await held(bench, "not heard of yet")).rate_card_version == "v1"
    await bench.sidecar.card_keeper.refresh()
    new = await held(bench, "new")
    assert (old.held, new.held) == (credits(3), credits(5))
    assert await committed(bench, "c1", old) == (credits(3), "v1")
    assert await committed(bench, "c2", new) == (credits(5), "v2")
    await bench.sidecar.settle()
    charged = [each for each in await bench.history() if each.type is EntryType.CHARGED]
    assert {(each.rate_card_version, each.amount) for each in charged} == {("v1", -credits(3)), ("v2", -credits(5))}


async def test_a_card_that_takes_effect_later(bench: Bench) -> None:
    """It is known before, and in force from its moment on, without anybody being asked."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await publish(bench, "v2", 5, Instant(NOON + HOUR))
    await bench.sidecar.card_keeper.refresh()
    bench.wire.is_cut = True
    assert bench.sidecar.card_keeper.version_in_force == "v1"
    bench.clock.advance(HOUR)
    assert bench.sidecar.card_keeper.version_in_force == "v2"


async def test_an_extension_is_priced_by_the_card_of_its_reservation(bench: Bench) -> None:
    """As the commit will be."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    hold = await held(bench, "r")
    await publish(bench, "v2", 5)
    await bench.sidecar.card_keeper.refresh()
    more = Work(action="text", request_model="house", input_tokens=2_000_000, max_output_tokens=0)
    extended = reservation(await bench.sidecar.meter.answer(Extend(RequestId("e"), hold.reservation_id, work=more)))
    assert (extended.held, extended.rate_card_version) == (credits(6), "v1")


async def test_an_extension_to_whole_work_pays_for_all_of_its_output(bench: Bench) -> None:
    """What a partial hold paid for is no bound any more, neither in the reply nor of what is estimated."""
    await bench.account(permanent=10)
    bench.use(load(document("own", 1_000), bundled_price_list))
    await bench.restart()
    work = Work(action="text", request_model="house", input_tokens=0, max_output_tokens=100_000)
    part = reservation(await bench.sidecar.meter.answer(Reserve(RequestId("r"), ACCOUNT, work=work, allow_partial=True)))
    assert (part.held, part.max_output_tokens) == (credits(10), 10_000)
    await bench.grant("more", 200)
    whole = reservation(await bench.sidecar.meter.answer(Extend(RequestId("e"), part.reservation_id, work=work)))
    assert (whole.held, whole.max_output_tokens) == (credits(100), None)
    usage = Usage(input_tokens=0)
    done = receipt(await bench.sidecar.meter.answer(Commit(RequestId("c"), part.reservation_id, usage=usage)))
    assert done.charge is not None
    assert done.charge.cost == credits(100)


async def test_a_restart_without_the_central_store_knows_all_cards(bench: Bench) -> None:
    """The one in force, and the one that a hold was made by."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    hold = await held(bench, "r")
    await publish(bench, "v2", 5)
    await bench.sidecar.card_keeper.refresh()
    await bench.crash()
    await bench.start(is_cut=True)
    assert bench.sidecar.card_keeper.version_in_force == "v2"
    assert await committed(bench, "c", hold) == (credits(3), "v1")


async def test_a_card_of_the_command_line_that_was_exchanged(bench: Bench) -> None:
    """What was reserved by the former one is committed by it."""
    await bench.account(permanent=100)
    bench.use(load(document("mine", 3), bundled_price_list))
    await bench.restart()
    hold = await held(bench, "r")
    bench.use(load(document("mine-2", 5), bundled_price_list))
    await bench.restart()
    assert (await held(bench, "new")).held == credits(5)
    assert await committed(bench, "c", hold) == (credits(3), "mine")


async def test_a_card_that_changed_under_its_version_is_refused(bench: Bench) -> None:
    """At the start, with what to do; nothing is priced by it."""
    bench.use(load(document("mine", 3), bundled_price_list))
    await bench.restart()
    bench.use(load(document("mine", 5), bundled_price_list))
    with pytest.raises(CardChanged, match="give what was changed a version of its own"):
        await bench.restart()


async def test_what_is_published_under_the_version_of_an_own_card_takes_nobodys_place(bench: Bench) -> None:
    """It can only come from a sidecar with another card of that version: holds keep theirs, and so does a restart."""
    await bench.account(permanent=100)
    bench.use(load(document("mine", 3), bundled_price_list))
    await bench.restart()
    hold = await held(bench, "r")
    await publish(bench, "mine", 5)
    await bench.sidecar.card_keeper.refresh()
    await bench.restart()
    assert (await held(bench, "new")).held == credits(3)
    assert await committed(bench, "c", hold) == (credits(3), "mine")


async def test_an_own_card_that_was_published_has_its_place_after_a_restart(bench: Bench) -> None:
    """Of two that took effect at one moment the one published last is in force."""
    bench.use(load(document("mine", 3), bundled_price_list))
    await bench.restart()
    await publish(bench, "v1", 5)
    await publish(bench, "mine", 3)
    await bench.sidecar.card_keeper.refresh()
    assert bench.sidecar.card_keeper.version_in_force == "mine"
    await bench.crash()
    await bench.start(is_cut=True)
    assert bench.sidecar.card_keeper.version_in_force == "mine"


async def test_a_published_card_wins_over_one_that_a_sidecar_is_started_with(bench: Bench) -> None:
    """If it was known here first under that version: what was reserved was priced by it."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    hold = await held(bench, "r")
    bench.use(load(document("v1", 5), bundled_price_list))
    await bench.restart()
    assert (await held(bench, "new")).held == credits(3)
    assert await committed(bench, "c", hold) == (credits(3), "v1")
    shown = bench.sidecar.card_keeper.own_if("v1")
    assert shown is not None
    assert shown.document == document("v1", 3)


async def test_what_is_superseded_is_kept_for_as_long_as_it_is_needed(bench: Bench, card: LoadedCard) -> None:
    """Until its last reservation cannot be committed any more, late or not; then it leaves memory and disk."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    await held(bench, "never committed")
    await publish(bench, "v2", 5)
    await bench.sidecar.card_keeper.refresh()
    late = Limits().late_commit_window
    bench.clock.advance(late)
    await bench.round()
    assert bench.rows("rate_cards") == 3
    bench.clock.advance(late)
    await bench.round()
    await bench.sidecar.books.durable()
    assert bench.rows("rate_cards") == 3
    bench.clock.advance(UNNEEDED_FOR)
    await bench.round()
    await bench.sidecar.books.durable()
    assert {each.version for each in await bench.journal.rate_cards()} == {"v2", card.kept.version}
    await bench.sidecar.card_keeper.refresh()
    assert bench.sidecar.card_keeper.version_in_force == "v2"


async def test_a_card_outlives_requests_that_wait_for_credit(bench: Bench) -> None:
    """They were priced by it, and pin it only when they are granted; by then it may be superseded."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    bench.wire.is_open.clear()
    waiting = asyncio.create_task(held(bench, "r"))
    while not bench.wire.sent:
        await asyncio.sleep(0)
    await publish(bench, "v2", 5)
    await bench.sidecar.card_keeper.refresh()
    for _ in range(2):
        bench.sidecar.card_keeper.prune()
        bench.clock.advance(MINUTE)
    bench.wire.is_open.set()
    hold = await waiting
    bench.clock.advance(UNNEEDED_FOR)
    bench.sidecar.card_keeper.prune()
    assert await committed(bench, "c", hold) == (credits(3), "v1")


async def test_a_card_that_was_dropped_in_vain_is_known_again(bench: Bench) -> None:
    """The journal failed before it was gone from there."""
    for number in (1, 2):
        await publish(bench, f"v{number}", 3)
        await bench.sidecar.card_keeper.refresh()
    bench.sidecar.card_keeper.prune()
    bench.clock.advance(Span(Limits().late_commit_window + UNNEEDED_FOR))
    await bench.break_disk()
    bench.sidecar.card_keeper.prune()
    assert bench.sidecar.cards.find("v1") is None
    with pytest.raises(StorageUnavailable):
        await bench.sidecar.books.durable()
    await bench.mend_disk()
    await bench.sidecar.look_after()
    assert bench.sidecar.cards.find("v1") is not None


async def test_a_card_of_a_newer_program_leaves_the_old_one_in_force(bench: Bench) -> None:
    """It says what this one does not understand; a card after it is picked up again."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await publish(bench, "v2", 5)
    async with bench.central.database.write() as connection:
        broken = update(tables.rate_cards).where(tables.rate_cards.c.version == "v2")
        await connection.execute(broken.values(document="a_new_key = 1"))
    await bench.sidecar.card_keeper.refresh()
    assert bench.sidecar.card_keeper.version_in_force == "v1"
    await publish(bench, "v3", 7)
    await bench.sidecar.card_keeper.refresh()
    assert bench.sidecar.card_keeper.version_in_force == "v3"
    await bench.restart()
    assert bench.sidecar.card_keeper.version_in_force == "v3"


async def test_a_price_list_of_a_newer_program_leaves_the_old_card_in_force(bench: Bench) -> None:
    """Here and at a sidecar that starts; a card after it is picked up again."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    listed = f'version = "v2"\neffective_from = {to_datetime(NOON).isoformat()}\n[text]\nsource = "genai-prices"\n'
    loaded = load(listed, bundled_price_list)
    newer = PRICE_LIST.encode(bundled_price_list()).replace(b'"contains"', b'"resembles"')
    await bench.central.rate_cards.publish(loaded.card, listed, zlib.compress(newer))
    await bench.sidecar.card_keeper.refresh()
    other = bench.beside("starts")
    await other.start()
    assert (bench.sidecar.card_keeper.version_in_force, other.sidecar.card_keeper.version_in_force) == ("v1", "v1")
    await other.crash()
    await publish(bench, "v3", 7)
    await bench.restart()
    assert bench.sidecar.card_keeper.version_in_force == "v3"


async def test_other_sidecars_follow(bench: Bench, other: Bench) -> None:
    """Each by itself, or when it starts."""
    await bench.account(permanent=100)
    await publish(bench, "v1", 3)
    await other.sidecar.card_keeper.refresh()
    assert (await held(other, "r")).rate_card_version == "v1"
    third = bench.beside("third")
    await third.start()
    assert third.sidecar.card_keeper.version_in_force == "v1"
    await third.crash()


async def test_the_table_of_prices_is_that_of_the_card_in_force(bench: Bench) -> None:
    """Its pages add up to the whole, and a card that is published has a table of its own."""
    version, whole = bench.sidecar.reader.model_prices("", None, 10_000)
    pages: list[PriceLine] = []
    while page := bench.sidecar.reader.model_prices("", pages[-1].position if pages else None, 700)[1]:
        pages += page
    assert pages == whole
    assert len(whole) > 2_000
    images = bench.sidecar.reader.model_prices("image", None, 3)[1]
    assert [each.position.action for each in images] == ["image"] * 3
    await publish(bench, "v1", 3)
    await bench.sidecar.card_keeper.refresh()
    published, lines = bench.sidecar.reader.model_prices("", None, 10_000)
    assert (version != published, [each.position.model for each in lines]) == (True, ["house"])


async def test_a_charge_is_priced_by_the_card_in_force(bench: Bench) -> None:
    """And a model that it does not name has no price, whatever an older card said."""
    await bench.account(permanent=100)
    usage = Usage(action="text", request_model="gpt-4o", input_tokens=8_001, output_tokens=0)
    first = receipt(await bench.sidecar.meter.answer(ChargeNow(RequestId("c"), ACCOUNT, usage=usage)))
    assert first.charge is not None
    assert first.charge.cost == credits(3)
    await publish(bench, "v1", 3, Instant(NOON - DAY))
    await bench.sidecar.card_keeper.refresh()
    assert isinstance(await bench.sidecar.meter.answer(ChargeNow(RequestId("c2"), ACCOUNT, usage=usage)), UnpricedWork)
