"""ListHistory, ListGrants and SummarizeUsage over the wire; and every credit of a busy account traced through its history."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import pytest

from creditmeter.cli.commands.past_balance import read_past_balance
from creditmeter.cli.exits import CommandFailed
from creditmeter.client.stubs import Connection
from creditmeter.core.instants import DAY, Instant, to_datetime
from creditmeter.server.replies import timestamp
from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, grants_pb2, metering_pb2, work_pb2
from tests.clocks import ManualClock
from tests.server.conftest import Services, failure
from tests.server.settling import settled_charge

CREDIT = 1_000_000
ALICE = "alice"


async def charged(services: Services, name: str, amount: int, **more: Any) -> str:
    """Charge an amount as a fact, and wait until it is settled; returns the charge's id."""
    return await settled(services, await charge(services, name, amount, **more))


async def charge(services: Services, name: str, amount: int, **more: Any) -> metering_pb2.ChargeResponse:
    """Charge an amount as a fact."""
    request = metering_pb2.ChargeRequest(
        request_id=name, account_id=ALICE, amount_microcredits=amount, already_incurred=True, **more
    )
    return await services.metering.Charge(request)


async def used(services: Services, name: str, usage: work_pb2.Usage, **labels: str) -> str:
    """Charge for what was used."""
    request = metering_pb2.ChargeRequest(request_id=name, account_id=ALICE, usage=usage, already_incurred=True, labels=labels)
    return await settled(services, await services.metering.Charge(request))


async def settled(services: Services, reply: metering_pb2.ChargeResponse) -> str:
    """Wait until a charge is posted; returns its id."""
    return (await settled_charge(services, reply.charge.charge_id)).charge_id


async def give(services: Services, name: str, amount: int, source: str = "PROMOTION") -> str:
    """Give credit; returns the grant's id."""
    request = admin_pb2.GrantCreditsRequest(
        request_id=name,
        account_id=ALICE,
        amount_microcredits=amount,
        source=grants_pb2.GrantSource.Value(f"GRANT_SOURCE_{source}"),
    )
    return (await services.admin.GrantCredits(request)).grant.grant_id


async def refunded(services: Services, name: str, charge_id: str, amount: int, mode: str) -> None:
    """Refund a part of a charge."""
    request = metering_pb2.RefundRequest(
        request_id=name,
        charge_id=charge_id,
        amount_microcredits=amount,
        mode=charges_pb2.RefundMode.Value(f"REFUND_MODE_{mode}"),
    )
    await services.metering.Refund(request)


async def entries(services: Services, page_size: int = 3, **wanted: Any) -> AsyncIterator[account_pb2.HistoryEntry]:
    """An account's history through all its pages."""
    request = account_pb2.ListHistoryRequest(account_id=ALICE, page_size=page_size, **wanted)
    while True:
        page = await services.account.ListHistory(request)
        for entry in page.entries:
            yield entry
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def grants(services: Services, page_size: int = 2) -> list[grants_pb2.Grant]:
    """All grants through all pages."""
    request = account_pb2.ListGrantsRequest(account_id=ALICE, page_size=page_size)
    found: list[grants_pb2.Grant] = []
    while True:
        page = await services.account.ListGrants(request)
        assert len(page.grants) <= page_size
        found += page.grants
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def at_one_moment(services: Services) -> tuple[list[account_pb2.HistoryEntry], list[grants_pb2.Grant]]:
    """History, oldest first, and grants with nothing in between: the sidecar closes the leases of ended days meanwhile."""
    async with asyncio.timeout(60):
        while True:
            lines = [entry async for entry in entries(services)]
            listed = await grants(services)
            if lines == [entry async for entry in entries(services)]:
                return lines[::-1], listed


async def live(services: Services, clock: ManualClock) -> list[str]:
    """A busy life: charges over all buckets, refunds in both modes, also of an ended grant, a void, lapses, debt, its
    repayment, and a write-off. Returns the charges.
    """
    await services.create(ALICE, permanent=10 * CREDIT, daily=5 * CREDIT, overdraft_limit_microcredits=4 * CREDIT)
    charges = [await charged(services, "c1", 3 * CREDIT), await charged(services, "c2", 6 * CREDIT + 1)]
    await refunded(services, "r1", charges[1], 2 * CREDIT, "ORIGINAL")
    await refunded(services, "r2", charges[0], CREDIT, "GOODWILL")
    taken = await give(services, "gift", 2 * CREDIT, "BONUS")
    await services.admin.VoidGrant(admin_pb2.VoidGrantRequest(request_id="v", account_id=ALICE, grant_id=taken))
    clock.advance(DAY)
    await refunded(services, "r3", charges[0], CREDIT, "ORIGINAL")
    charges.append(await charged(services, "c3", 40 * CREDIT, labels={"job": "big"}))
    await give(services, "purchase", CREDIT, "PURCHASE")
    clock.advance(DAY)
    charges.append(await charged(services, "c4", CREDIT))
    clock.advance(DAY)
    await give(services, "last", 7)
    return charges


async def test_each_grant_is_shown_once_among_the_draws(services: Services) -> None:
    """A hold of 4 that was extended to 6 and committed at 9 has three parts; each drew on the daily and the permanent grant, or
    on one of them. So it is in the charge, in its line, and in that of its refund.
    """
    await services.create(ALICE, permanent=50, daily=3)
    metering = services.metering
    hold = await metering.Reserve(metering_pb2.ReserveRequest(request_id="r", account_id=ALICE, amount_microcredits=4))
    name = hold.reservation.reservation_id
    await metering.Extend(metering_pb2.ExtendRequest(request_id="e", reservation_id=name, amount_microcredits=6))
    asked = metering_pb2.CommitRequest(request_id="c", reservation_id=name, amount_microcredits=9)
    charge_id = (await metering.Commit(asked)).charge.charge_id
    stored = await settled_charge(services, charge_id)
    assert [each.amount_microcredits for each in stored.draws] == [3, 6]
    await refunded(services, "f", charge_id, 8, "ORIGINAL")
    found = {each.type: each async for each in entries(services)}
    drawn = found[account_pb2.HISTORY_TYPE_CHARGED].draws
    assert list(drawn) == list(stored.draws)
    back = found[account_pb2.HISTORY_TYPE_REFUNDED].draws
    assert [(each.grant_id, each.amount_microcredits) for each in back] == [
        (drawn[1].grant_id, 6),
        (drawn[0].grant_id, 2),
    ]


async def test_every_credit_of_a_busy_account_is_traced_by_its_history(services: Services, clock: ManualClock) -> None:
    """From the lines alone: each balance follows from the one before, each grant has what ListGrants says is left of it, and
    the draws of each charge are what it was covered by.
    """
    charges = await live(services, clock)
    lines, listed = await at_one_moment(services)
    assert {account_pb2.HistoryType.Name(each.type).removeprefix("HISTORY_TYPE_") for each in lines} >= {
        *("GRANTED", "CHARGED", "REFUNDED", "LAPSED", "VOIDED", "WRITTEN_OFF", "DEBT_REPAID")
    }
    balance = 0
    left: dict[str, int] = defaultdict(int)
    drawn: dict[str, int] = defaultdict(int)
    for line in lines:
        balance += line.amount_microcredits
        assert line.balance_after_microcredits == balance
        sign = 1 if line.type == account_pb2.HISTORY_TYPE_REFUNDED else -1
        assert not line.draws or sum(each.amount_microcredits for each in line.draws) == sign * line.amount_microcredits
        for draw in line.draws:
            left[draw.grant_id] += sign * draw.amount_microcredits
            drawn[line.charge_id] += draw.amount_microcredits if sign < 0 else 0
        if line.grant_id:
            left[line.grant_id] += line.amount_microcredits
        assert min(left.values()) >= 0
    assert {each.grant_id: each.remaining_microcredits for each in listed} == left
    assert sum(left.values()) == balance
    for charge_id in charges:
        charge = (await services.metering.GetCharge(metering_pb2.GetChargeRequest(charge_id=charge_id))).charge
        assert drawn[charge_id] == charge.covered_microcredits
        paid = charge.covered_microcredits + charge.debt_microcredits + charge.uncovered_microcredits
        assert paid == charge.cost_microcredits


async def test_grants_are_listed_newest_first_with_what_they_are(services: Services, clock: ManualClock) -> None:
    """Ended ones too. A token of another account is invalid."""
    await services.create(ALICE, permanent=CREDIT, daily=5)
    clock.advance(DAY)
    await give(services, "gift", 2, "BONUS")
    listed = await grants(services, 1)
    assert [each.created_at.ToMicroseconds() for each in listed] == sorted(
        (each.created_at.ToMicroseconds() for each in listed), reverse=True
    )
    assert sorted((each.kind, each.source, each.amount_microcredits, each.remaining_microcredits) for each in listed) == [
        (grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_SOURCE_PLAN, 5, 0),
        (grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_SOURCE_PLAN, 5, 5),
        (grants_pb2.GRANT_KIND_PERMANENT, grants_pb2.GRANT_SOURCE_PROMOTION, CREDIT, CREDIT),
        (grants_pb2.GRANT_KIND_PERMANENT, grants_pb2.GRANT_SOURCE_BONUS, 2, 2),
    ]
    first = await services.account.ListGrants(account_pb2.ListGrantsRequest(account_id=ALICE, page_size=1))
    request = account_pb2.ListGrantsRequest(account_id="bob", page_size=-1, page_token=first.next_page_token)
    assert (await failure(services.account.ListGrants(request))).fields == {"page_size", "page_token"}
    unknown = await failure(services.account.ListGrants(account_pb2.ListGrantsRequest(account_id="nobody")))
    assert unknown.info.reason == "ACCOUNT_NOT_FOUND"


async def test_history_is_filtered_by_kind_source_and_label(services: Services, clock: ManualClock) -> None:
    """Over the wire, page by page; a label's empty value is a value."""
    await live(services, clock)

    async def found(**wanted: Any) -> list[tuple[str, int]]:
        lines = [each async for each in entries(services, 1, **wanted)]
        return [(account_pb2.HistoryType.Name(each.type)[13:], each.amount_microcredits) for each in lines]

    bonus = await found(source=grants_pb2.GRANT_SOURCE_BONUS)
    assert bonus[-1] == ("GRANTED", 2 * CREDIT)
    assert bonus[-2][0] == "VOIDED"
    assert await found(source=grants_pb2.GRANT_SOURCE_BONUS, types=[account_pb2.HISTORY_TYPE_GRANTED]) == bonus[-1:]
    big = account_pb2.LabelMatch(key="job", value="big")
    types = [name for name, _ in await found(label=big)]
    assert types == ["DEBT_REPAID"] * (len(types) - 2) + ["WRITTEN_OFF", "CHARGED"]
    assert len(types) > 2
    assert await found(label=account_pb2.LabelMatch(key="job")) == await found(label=big)
    assert await found(label=account_pb2.LabelMatch(key="job", value="")) == []
    daily = await found(kinds=[grants_pb2.GRANT_KIND_DAILY])
    assert daily[-1] == ("GRANTED", 5 * CREDIT)
    both = await found(kinds=[grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_KIND_PERMANENT])
    assert [name for name, _ in both].count("WRITTEN_OFF") == 0
    assert len(both) > len(daily)


async def test_filters_that_make_no_sense_are_named(services: Services) -> None:
    """All at once."""
    request = account_pb2.ListHistoryRequest(
        account_id="two words",
        kinds=[grants_pb2.GRANT_KIND_UNSPECIFIED],
        types=[account_pb2.HISTORY_TYPE_UNSPECIFIED],
        label=account_pb2.LabelMatch(value="x" * 257),
        page_size=-1,
    )
    failed = await failure(services.account.ListHistory(request))
    assert failed.fields == {"account_id", "kinds", "types", "label.key", "label.value", "page_size"}
    other = account_pb2.ListHistoryRequest.FromString(b"\x0a\x01a\x38\x63")
    assert (await failure(services.account.ListHistory(other))).fields == {"source"}


def by(*names: str) -> list[account_pb2.UsageGrouping]:
    """Groupings: a dimension in capitals, or a label's key."""
    return [
        account_pb2.UsageGrouping(dimension=account_pb2.UsageDimension.Value(f"USAGE_DIMENSION_{name}"))
        if name.isupper()
        else account_pb2.UsageGrouping(label_key=name)
        for name in names
    ]


@pytest.mark.parametrize("names", [(), ("DAY",), ("KIND", "job"), ("ACTION", "MODEL", "TOOL", "KIND"), ("job", "DAY")])
async def test_usage_is_summed_by_group_and_adds_up(services: Services, clock: ManualClock, names: tuple[str, ...]) -> None:
    """The groups of all pages add up to the total, which every page has; in the order of their keys."""
    await services.create(ALICE, permanent=100 * CREDIT, daily=3 * CREDIT)
    text = work_pb2.Usage(action="text", provider="openai", request_model="gpt-4o", input_tokens=8_001, output_tokens=10)
    await used(services, "c1", text, job="a")
    await used(services, "c2", text, job="b")
    clock.advance(DAY)
    await used(services, "c3", work_pb2.Usage(action="tool", tool="web_search", quantity=2), job="a")
    await charged(services, "c4", 5)
    request = account_pb2.SummarizeUsageRequest(account_id=ALICE, group_by=by(*names), page_size=1)
    groups: list[account_pb2.UsageGroup] = []
    totals = []
    while True:
        page = await services.account.SummarizeUsage(request)
        groups += page.groups
        totals.append(page.total)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    total = totals[0]
    assert all(each == total for each in totals)
    assert (total.charge_count, total.quantity, total.input_tokens, total.output_tokens) == (4, 2, 16_002, 20)
    assert Decimal(total.cost_usd) > 0
    keys = [tuple(each.keys) for each in groups]
    assert keys == sorted(set(keys))
    if not names:
        assert groups == []
        return
    for field in account_pb2.UsageTotals.DESCRIPTOR.fields:
        summed = sum(Decimal(getattr(each.totals, field.name)) for each in groups)
        assert summed == Decimal(getattr(total, field.name)), field.name
    if names == ("KIND", "job"):
        assert ("GRANT_KIND_DAILY", "a") in keys


async def test_usage_of_a_span_of_time(services: Services, clock: ManualClock) -> None:
    """By committed_at."""
    await services.create(ALICE, permanent=100 * CREDIT)
    await charged(services, "c1", 3)
    clock.advance(DAY)
    await charged(services, "c2", 5)
    request = account_pb2.SummarizeUsageRequest(account_id=ALICE)
    request.start.FromMicroseconds(clock.wall())
    assert (await services.account.SummarizeUsage(request)).total.cost_microcredits == 5
    request.ClearField("start")
    request.end.FromMicroseconds(clock.wall())
    assert (await services.account.SummarizeUsage(request)).total.cost_microcredits == 3


async def test_groupings_that_make_no_sense_are_named(services: Services) -> None:
    """All at once: unset, unspecified, unknown, empty, too long, named twice; and more than four."""
    groupings = [account_pb2.UsageGrouping(), account_pb2.UsageGrouping(dimension=account_pb2.USAGE_DIMENSION_UNSPECIFIED)]
    request = account_pb2.SummarizeUsageRequest(account_id="", group_by=[*groupings, *by("DAY", "DAY")], page_size=-1)
    request.end.FromMicroseconds(1)
    request.start.FromMicroseconds(2)
    failed = await failure(services.account.SummarizeUsage(request))
    assert failed.fields == {"account_id", "end", "group_by[0]", "group_by[1].dimension", "group_by[3]", "page_size"}
    labels = [account_pb2.UsageGrouping(label_key=""), *by("x" * 65, "a\0")]
    unknown = account_pb2.UsageGrouping.FromString(b"\x08\x63")
    request = account_pb2.SummarizeUsageRequest(account_id="a", group_by=[*labels, unknown], page_token="?")
    failed = await failure(services.account.SummarizeUsage(request))
    assert failed.fields == {f"group_by[{number}].label_key" for number in range(3)} | {"group_by[3].dimension", "page_token"}
    request = account_pb2.SummarizeUsageRequest(account_id="a", group_by=by("DAY", "ACTION", "MODEL", "TOOL", "KIND", ""))
    assert (await failure(services.account.SummarizeUsage(request))).fields == {"group_by", "group_by[5].label_key"}
    nobody = await failure(services.account.SummarizeUsage(account_pb2.SummarizeUsageRequest(account_id="nobody")))
    assert nobody.info.reason == "ACCOUNT_NOT_FOUND"


@pytest.mark.long
async def test_a_page_ends_before_it_is_too_large_to_send(services: Services) -> None:
    """Though more was asked for; the pages together have every line and every group once."""
    await services.create(ALICE, permanent=CREDIT)
    labels = {f"key-{number}": "\U0001f600" * 256 for number in range(16)}
    waiting = [await charge(services, f"c{number:03}", 1, labels={**labels, "key-0": f"{number:03}"}) for number in range(220)]
    made = [await settled(services, each) for each in waiting]
    request = account_pb2.ListHistoryRequest(account_id=ALICE, page_size=1_000, types=[account_pb2.HISTORY_TYPE_CHARGED])
    first = await services.account.ListHistory(request)
    assert 2**21 < first.ByteSize() < 2**22
    assert first.next_page_token
    found = [each.charge_id async for each in entries(services, 1_000, types=[account_pb2.HISTORY_TYPE_CHARGED])]
    assert found == made[::-1]


async def test_a_type_named_many_times_is_one(services: Services) -> None:
    """As often as a request has room for."""
    await services.create(ALICE, permanent=1)
    found = [each async for each in entries(services, types=[account_pb2.HISTORY_TYPE_GRANTED] * 40_000, kinds=[3] * 40_000)]
    assert len(found) == 1


async def test_a_bound_between_two_microseconds(services: Services, clock: ManualClock) -> None:
    """What is at the microsecond before it is not after it."""
    await services.create(ALICE, permanent=1)
    request = account_pb2.ListHistoryRequest(account_id=ALICE)
    request.start.FromNanoseconds(clock.wall() * 1_000 + 1)
    assert not (await services.account.ListHistory(request)).entries
    request.ClearField("start")
    request.end.FromNanoseconds(clock.wall() * 1_000 + 1)
    assert len((await services.account.ListHistory(request)).entries) == 1


async def test_a_token_that_somebody_edited_is_invalid(services: Services) -> None:
    """Whatever number or text was put into it."""
    await services.create(ALICE, permanent=1)
    await give(services, "gift", 1)
    history = account_pb2.ListHistoryRequest(account_id=ALICE, page_size=1)
    listed = account_pb2.ListGrantsRequest(account_id=ALICE, page_size=1)
    token = (await services.account.ListHistory(history)).next_page_token
    for cursor in (2**63, 10**30, -1, -(10**30), None, 1.5):
        history.page_token = edited(token, cursor)
        assert (await failure(services.account.ListHistory(history))).fields == {"page_token"}
    token = (await services.account.ListGrants(listed)).next_page_token
    for at, name in ((10**30, "x"), (-1, "x"), (1, "x\0")):
        listed.page_token = edited(token, {"created_at": at, "grant_id": name})
        assert (await failure(services.account.ListGrants(listed))).fields == {"page_token"}


def edited(token: str, cursor: object) -> str:
    """A token with another cursor in it."""
    filters, _ = json.loads(base64.urlsafe_b64decode(token))
    return base64.urlsafe_b64encode(json.dumps([filters, cursor]).encode()).decode()


async def test_whether_a_moment_is_over_is_for_the_stores_clock_to_say(services: Services, clock: ManualClock) -> None:
    """Not for the clock of the caller, which is ahead of it here, or behind it."""
    await services.create("alice", permanent=3)
    async with Connection(services.tcp) as client:
        now = to_datetime(clock.wall())
        assert (await read_past_balance(client, "alice", now)).balance == 3
        with pytest.raises(CommandFailed, match="is yet to come"):
            await read_past_balance(client, "alice", now + timedelta(microseconds=1))
        clock.advance(400 * DAY)
        assert (await read_past_balance(client, "alice", now + timedelta(days=399))).balance == 3


async def test_a_balance_in_the_past(services: Services, clock: ManualClock) -> None:
    """What was left a day ago, by kind; refused without a moment, and of one that is yet to come."""
    await services.create("alice", permanent=3, daily=5)
    then = clock.wall()
    clock.advance(DAY)
    await services.account.GetBalance(account_pb2.GetBalanceRequest(account_id="alice"))
    await charged(services, "c", 6)
    found = await services.account.GetPastBalance(past("alice", then))
    assert (found.balance_microcredits, found.at.ToDatetime(UTC)) == (8, to_datetime(then))
    assert [(each.kind, each.remaining_microcredits) for each in found.buckets] == [(1, 5), (2, 0), (3, 3)]
    now = await services.account.GetPastBalance(past("alice", clock.wall()))
    assert [each.remaining_microcredits for each in now.buckets] == [0, 0, 2]
    assert (await failure(services.account.GetPastBalance(past("", None)))).fields == {"account_id", "at"}
    assert (await failure(services.account.GetPastBalance(past("alice", Instant(clock.wall() + DAY))))).fields == {"at"}
    assert (await failure(services.account.GetPastBalance(past("nobody", then)))).info.reason == "ACCOUNT_NOT_FOUND"


def past(account_id: str, at: Instant | None) -> account_pb2.GetPastBalanceRequest:
    """A request for a balance at a moment."""
    return account_pb2.GetPastBalanceRequest(account_id=account_id, at=timestamp(at))
