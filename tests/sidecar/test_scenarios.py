"""The credit system a user sees, as tables: what each step leaves and what history says of it. `scenario` explains them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from creditmeter.central.verification.verification import verify
from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.history import EntryType
from creditmeter.core.instants import HOUR, MINUTE, from_datetime
from tests.clocks import ManualClock
from tests.sidecar.bench import Bench, credits
from tests.sidecar.requests import charge
from tests.sidecar.scenario import Scenario


@pytest.fixture
def clock() -> ManualClock:
    """A clock at the end of 2025, before all that happens here."""
    return ManualClock(from_datetime(datetime(2025, 12, 30, tzinfo=UTC)))


@pytest.fixture(autouse=True)
async def what_is_stored_adds_up(bench: Bench, central_url: str) -> AsyncIterator[None]:
    """After each scenario the central store is verified."""
    yield
    await bench.sidecar.settle()
    assert (await verify(central_url)).problems == ()


async def scenario(
    bench: Bench,
    *,
    zone: str = "UTC",
    begins: str = "2026-03-10 08:00",
    anchor: int = 1,
    daily: int = 0,
    monthly: int = 0,
    overdraft: int = 0,
    other: Bench | None = None,
) -> Scenario:
    """An account that is opened when the scenario begins, its table in the account's zone."""
    made = Scenario(bench, zone, other)
    bench.clock.advance(made.moment(begins) - bench.clock.wall())
    limit = Microcredits(credits(overdraft))
    await bench.account(daily=daily, monthly=monthly, time_zone=zone, anchor_day=anchor, overdraft_limit=limit)
    return made


# The calendar.


async def test_a_day_is_refilled_and_nothing_rolls_over(bench: Bench) -> None:
    """What is left of a day lapses at its end; the month goes on."""
    played = await scenario(bench, daily=3, monthly=10)
    await played.play("""
        2026-03-10 09:00 | charge a 2  | 1 10 0 | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -2 = 11
        2026-03-10 23:59 | look        | 1 10 0 |
        2026-03-11 00:00 | look        | 3 10 0 | LAPSED DAILY -1 = 10, GRANTED DAILY 3 = 13
        2026-03-11 00:00 | charge b 4  | 0 9 0  | CHARGED -4 = 9
        2026-03-12 12:00 | charge c 1  | 2 9 0  | GRANTED DAILY 3 = 12, CHARGED -1 = 11
        2026-03-31 23:59 | charge d 1  | 2 9 0  | LAPSED DAILY -2 = 9, GRANTED DAILY 3 = 12, CHARGED -1 = 11
        2026-04-01 00:00 | charge e 1  | 2 10 0 | LAPSED DAILY -2 = 9, LAPSED MONTHLY -9 = 0
                         |             |        | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -1 = 12
    """)


async def test_a_week_that_nobody_touched_leaves_no_rows(bench: Bench) -> None:
    """One lapse, of the last day that was; the days between were never granted."""
    played = await scenario(bench, daily=3)
    await played.play("""
        2026-03-10 09:00 | charge a 2  | 1 0 0  | GRANTED DAILY 3 = 3, CHARGED -2 = 1
        2026-03-17 09:00 | look        | 3 0 0  | LAPSED DAILY -1 = 0, GRANTED DAILY 3 = 3
        2026-03-17 09:00 | charge b 1  | 2 0 0  | CHARGED -1 = 2
    """)


async def test_five_first_touches_race_for_one_grant(bench: Bench) -> None:
    """Through five sidecars at once: the day is granted once, and five calls of 1 are paid out of 5 credits."""
    await scenario(bench, daily=5)
    async with AsyncExitStack() as stack:
        benches = [bench, *(bench.beside(f"sidecar-{number}") for number in range(4))]
        for each in benches[1:]:
            await each.start()
            stack.push_async_callback(each.crash)
        await asyncio.gather(*(charge(each, f"touch {number}", 1) for number, each in enumerate(benches)))
        for each in benches:
            await each.settled_in_the_end()
        types = [each.type for each in await bench.history()]
        assert types.count(EntryType.GRANTED) == 1
        assert types.count(EntryType.CHARGED) == 5
        assert await bench.remaining() == (0, 0, 0)


ANCHORS = [
    (29, "2026-01-29 2026-02-28 2026-03-29 2026-04-29 2026-05-29 2026-06-29 2026-07-29 2026-08-29 2026-09-29"),
    (29, "2026-10-29 2026-11-29 2026-12-29 2027-01-29 2027-02-28 2027-03-29"),
    (30, "2026-01-30 2026-02-28 2026-03-30 2026-04-30 2026-05-30 2026-06-30 2026-07-30 2026-08-30 2026-09-30"),
    (30, "2026-10-30 2026-11-30 2026-12-30 2027-01-30 2027-02-28 2027-03-30"),
    (31, "2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31 2026-06-30 2026-07-31 2026-08-31 2026-09-30"),
    (31, "2026-10-31 2026-11-30 2026-12-31 2027-01-31 2027-02-28 2027-03-31"),
    (31, "2028-01-31 2028-02-29 2028-03-31"),
]


@pytest.mark.parametrize(("anchor", "begins"), ANCHORS)
async def test_a_month_begins_on_its_anchor_day(bench: Bench, anchor: int, begins: str) -> None:
    """Or on the last day of a month that is too short, and on the anchor again after it: at that midnight and not before."""
    days = begins.split()
    played = await scenario(bench, begins=f"{days[0]} 00:00", anchor=anchor, monthly=10)
    await played.play(f"{days[0]} 00:00 | charge a 1 | 0 9 0 | GRANTED MONTHLY 10 = 10, CHARGED -1 = 9")
    for day in days[1:]:
        eve = datetime.fromisoformat(day).toordinal() - 1
        await played.play(f"""
            {datetime.fromordinal(eve):%Y-%m-%d} 23:59 | look       | 0 9 0 |
            {day} 00:00 | charge a 1 | 0 9 0 | LAPSED MONTHLY -9 = 0, GRANTED MONTHLY 10 = 10, CHARGED -1 = 9
        """)


async def test_a_day_in_tokyo(bench: Bench) -> None:
    """It ends at three in the afternoon in UTC."""
    played = await scenario(bench, zone="Asia/Tokyo", daily=3)
    assert played.moment("2026-03-11 00:00") == from_datetime(datetime(2026, 3, 10, 15, tzinfo=UTC))
    await played.play("""
        2026-03-10 09:00 | charge a 2  | 1 0 0  | GRANTED DAILY 3 = 3, CHARGED -2 = 1
        2026-03-10 23:59 | look        | 1 0 0  |
        2026-03-11 00:00 | charge b 1  | 2 0 0  | LAPSED DAILY -1 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
    """)


async def test_the_short_day_and_the_long_day_in_berlin(bench: Bench) -> None:
    """Of 23 and of 25 hours: each is granted once, and the hour that comes twice belongs to the day that runs."""
    played = await scenario(bench, zone="Europe/Berlin", daily=3)
    short = played.moment("2026-03-30 00:00") - played.moment("2026-03-29 00:00")
    long = played.moment("2026-10-26 00:00") - played.moment("2026-10-25 00:00")
    assert (short, long) == (23 * HOUR, 25 * HOUR)
    await played.play("""
        2026-03-28 23:59 | charge a 1  | 2 0 0  | GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-03-29 00:00 | charge b 1  | 2 0 0  | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-03-29 01:59 | charge c 1  | 1 0 0  | CHARGED -1 = 1
        2026-03-29 03:00 | charge d 1  | 0 0 0  | CHARGED -1 = 0
        2026-03-29 23:59 | charge e 1: InsufficientCredits | 0 0 0 |
        2026-03-30 00:00 | charge f 1  | 2 0 0  | GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-10-25 00:00 | charge g 1  | 2 0 0  | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-10-25 02:30 | charge h 1  | 1 0 0  | CHARGED -1 = 1
        2026-10-25 03:00 | charge i 1  | 0 0 0  | CHARGED -1 = 0
        2026-10-25 23:59 | charge j 1: InsufficientCredits | 0 0 0 |
        2026-10-26 00:00 | charge k 1  | 2 0 0  | GRANTED DAILY 3 = 3, CHARGED -1 = 2
    """)


async def test_a_midnight_that_does_not_exist(bench: Bench) -> None:
    """In Cairo 24 April 2026 begins at one o'clock, the very instant after 23:59:59 of the day before."""
    played = await scenario(bench, zone="Africa/Cairo", daily=3)
    assert played.moment("2026-04-24 01:00") - played.moment("2026-04-23 23:59") == MINUTE
    await played.play("""
        2026-04-23 12:00 | charge a 1  | 2 0 0  | GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-04-23 23:59 | charge b 1  | 1 0 0  | CHARGED -1 = 1
        2026-04-24 01:00 | charge c 1  | 2 0 0  | LAPSED DAILY -1 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-04-24 23:59 | charge d 2  | 0 0 0  | CHARGED -2 = 0
        2026-04-25 00:00 | charge e 1  | 2 0 0  | GRANTED DAILY 3 = 3, CHARGED -1 = 2
    """)


# Changes of the calendar. These tables are in UTC.


async def test_a_move_east(bench: Bench) -> None:
    """From UTC to Tokyo: the day goes on until the first midnight there after its old end, which is 39 hours in all."""
    played = await scenario(bench, daily=3)
    await played.play("""
        2026-03-10 12:00 | charge a 1       | 2 0 0 | GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-03-10 12:00 | move Asia/Tokyo  | 2 0 0 |
        2026-03-10 15:00 | look             | 2 0 0 |
        2026-03-11 00:00 | charge b 1       | 1 0 0 | CHARGED -1 = 1
        2026-03-11 14:59 | look             | 1 0 0 |
        2026-03-11 15:00 | charge c 1       | 2 0 0 | LAPSED DAILY -1 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-03-12 15:00 | charge d 1       | 2 0 0 | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-04-09 11:59 | move UTC: TimeZoneChangeTooSoon | 3 0 0 | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3
        2026-04-09 12:00 | move UTC         | 3 0 0 |
        2026-04-09 23:59 | charge e 1       | 2 0 0 | CHARGED -1 = 2
        2026-04-10 00:00 | charge f 1       | 2 0 0 | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
    """)


async def test_a_move_east_and_the_months(bench: Bench) -> None:
    """April begins a day late, since it had begun in Tokyo when March ended in UTC; it ends in time."""
    played = await scenario(bench, monthly=10)
    await played.play("""
        2026-03-10 12:00 | charge a 1       | 0 9 0 | GRANTED MONTHLY 10 = 10, CHARGED -1 = 9
        2026-03-10 12:00 | move Asia/Tokyo  | 0 9 0 |
        2026-04-01 14:59 | look             | 0 9 0 |
        2026-04-01 15:00 | charge b 2       | 0 8 0 | LAPSED MONTHLY -9 = 0, GRANTED MONTHLY 10 = 10, CHARGED -2 = 8
        2026-04-30 14:59 | look             | 0 8 0 |
        2026-04-30 15:00 | charge c 3       | 0 7 0 | LAPSED MONTHLY -8 = 0, GRANTED MONTHLY 10 = 10, CHARGED -3 = 7
    """)


async def test_a_move_west(bench: Bench) -> None:
    """From Tokyo to UTC: nine hours more, then every midnight in UTC."""
    played = await scenario(bench, begins="2026-03-10 14:00", daily=3)
    await played.play("""
        2026-03-10 14:00 | move Asia/Tokyo  | 3 0 0 | GRANTED DAILY 3 = 3
        2026-04-20 14:00 | charge a 1       | 2 0 0 | LAPSED DAILY -3 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-04-20 14:00 | move UTC         | 2 0 0 |
        2026-04-20 15:00 | charge b 1       | 1 0 0 | CHARGED -1 = 1
        2026-04-20 23:59 | look             | 1 0 0 |
        2026-04-21 00:00 | charge c 1       | 2 0 0 | LAPSED DAILY -1 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-04-22 00:00 | charge d 1       | 2 0 0 | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
    """)


async def test_a_move_that_shows_a_date_twice(bench: Bench) -> None:
    """Across the date line from 14 hours ahead to 12 behind: 11 March is followed by 11 March, and each is granted once."""
    played = await scenario(bench, begins="2026-01-10 08:00", daily=3)
    await played.play("""
        2026-01-10 08:00 | move Pacific/Kiritimati | 3 0 0 | GRANTED DAILY 3 = 3
        2026-03-10 12:00 | charge a 1       | 2 0 0 | LAPSED DAILY -3 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-03-10 12:00 | move Etc/GMT+12  | 2 0 0 |
        2026-03-11 11:59 | charge b 1       | 1 0 0 | CHARGED -1 = 1
        2026-03-11 12:00 | charge c 1       | 2 0 0 | LAPSED DAILY -1 = 0, GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-03-11 13:00 | assign more 5 0  | 4 0 0 | PLAN_CHANGED 0 = 2, GRANTED DAILY 2 = 4
        2026-03-11 14:00 | charge d 1       | 3 0 0 | CHARGED -1 = 3
        2026-03-12 11:59 | look             | 3 0 0 |
        2026-03-12 12:00 | charge e 1       | 4 0 0 | LAPSED DAILY -1 = 2, LAPSED DAILY -2 = 0
                         |                  |       | GRANTED DAILY 5 = 5, CHARGED -1 = 4
    """)
    grants = [each.grant_id for each in await bench.history() if each.type is EntryType.GRANTED]
    assert grants[1:] == ["daily-2026-03-11", "daily-2026-03-11-2", "daily-2026-03-11-3", "daily-2026-03-12"]


async def test_moving_to_and_fro_gains_nothing(bench: Bench) -> None:
    """Two changes, a month apart: at no time are there more than the credits of one day and one month."""
    played = await scenario(bench, daily=3, monthly=10)
    await played.play("""
        2026-03-10 12:00 | charge a 13     | 0 0 0  | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -13 = 0
        2026-03-10 12:00 | move UTC 20     | 0 0 0  |
        2026-03-11 00:00 | charge b 1      | 2 0 0  | GRANTED DAILY 3 = 3, CHARGED -1 = 2
        2026-04-01 00:00 | look            | 3 0 0  | LAPSED DAILY -2 = 0, GRANTED DAILY 3 = 3
        2026-04-10 12:00 | move UTC 1      | 3 0 0  | LAPSED DAILY -3 = 0, GRANTED DAILY 3 = 3
        2026-04-20 00:00 | look            | 3 0 0  | LAPSED DAILY -3 = 0, GRANTED DAILY 3 = 3
        2026-04-30 23:59 | look            | 3 0 0  | LAPSED DAILY -3 = 0, GRANTED DAILY 3 = 3
        2026-05-01 00:00 | look            | 3 10 0 | LAPSED DAILY -3 = 0, GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13
    """)


async def test_a_lease_of_before_a_move_ends_at_the_old_midnight(bench: Bench) -> None:
    """Its hold commits after it, against the day that was made longer; what it did not use is there for the rest of the day."""
    played = await scenario(bench, daily=10)
    await played.play("""
        2026-03-10 12:00 | move Asia/Tokyo | 10 0 0 | GRANTED DAILY 10 = 10
        2026-03-10 23:59 | hold a 8        | 10 0 0 |
        2026-03-11 00:01 | commit a 3      | 7 0 0  | CHARGED -3 = 7
        2026-03-11 00:01 | charge b 7      | 0 0 0  | CHARGED -7 = 0
    """)


# Holds over midnight and over the end of a grant.


async def test_a_hold_of_before_midnight_is_committed_below_it(bench: Bench) -> None:
    """The day that it was placed on pays, and what it does not use of it lapses with the day."""
    played = await scenario(bench, daily=10)
    await played.play("""
        2026-03-10 23:59 | hold a 6    | 10 0 0 | GRANTED DAILY 10 = 10
        2026-03-11 00:01 | look        | 10 0 0 | LAPSED DAILY -4 = 6, GRANTED DAILY 10 = 16
        2026-03-11 00:01 | commit a 4  | 10 0 0 | LAPSED DAILY -2 = 14, CHARGED -4 = 10
    """)


async def test_a_hold_of_before_midnight_is_committed_at_it(bench: Bench) -> None:
    """All of it is paid by the day that ended."""
    played = await scenario(bench, daily=10)
    await played.play("""
        2026-03-10 23:59 | hold a 6    | 10 0 0 | GRANTED DAILY 10 = 10
        2026-03-11 00:01 | commit a 6  | 10 0 0 | LAPSED DAILY -4 = 6, GRANTED DAILY 10 = 16, CHARGED -6 = 10
    """)


async def test_a_hold_of_before_midnight_is_committed_above_it(bench: Bench) -> None:
    """The excess is drawn on the new day."""
    played = await scenario(bench, daily=10)
    await played.play("""
        2026-03-10 23:59 | hold a 6    | 10 0 0 | GRANTED DAILY 10 = 10
        2026-03-11 00:01 | commit a 9  | 7 0 0  | LAPSED DAILY -4 = 6, GRANTED DAILY 10 = 16, CHARGED -9 = 7
    """)


async def test_a_late_commit_is_charged_like_excess(bench: Bench) -> None:
    """The hold expired within the day, and all of the day lapsed; the next day pays."""
    played = await scenario(bench, daily=10)
    await played.play("""
        2026-03-10 23:40 | hold a 6    | 10 0 0 | GRANTED DAILY 10 = 10
        2026-03-11 00:01 | commit a 6  | 4 0 0  | LAPSED DAILY -10 = 0, GRANTED DAILY 10 = 10, CHARGED -6 = 4
        2026-03-11 00:01 | commit a 6: ReservationCommitted | 4 0 0 |
    """)


async def test_a_permanent_grant_ends_while_it_is_held(bench: Bench) -> None:
    """What was held of it pays although it has ended; the rest of it lapses, and the excess is paid by what has no end."""
    played = await scenario(bench)
    await played.play("""
        2026-03-10 09:00 | give ends 10 2026-03-11 | 0 0 10 | GRANTED PERMANENT 10 = 10
        2026-03-10 09:00 | give stays 5     | 0 0 15 | GRANTED PERMANENT 5 = 15
        2026-03-10 23:59 | hold a 6         | 0 0 15 |
        2026-03-11 00:01 | look             | 0 0 5  | LAPSED PERMANENT -4 = 11
        2026-03-11 00:01 | commit a 8       | 0 0 3  | CHARGED -8 = 3
    """)


# Refunds.


async def test_a_refund_on_the_same_day(bench: Bench) -> None:
    """In parts, the last drawn first, until nothing is left to give back."""
    played = await scenario(bench, daily=3, monthly=10)
    await played.play("""
        2026-03-10 09:00 | charge a 8      | 0 5 0  | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -8 = 5
        2026-03-10 10:00 | refund a 4      | 0 9 0  | REFUNDED 4 = 9
        2026-03-10 11:00 | refund a 2      | 1 10 0 | REFUNDED 2 = 11
        2026-03-10 12:00 | refund a 3: RefundExceedsCharge | 1 10 0 |
        2026-03-10 12:00 | refund a        | 3 10 0 | REFUNDED 2 = 13
        2026-03-10 12:00 | refund a: RefundExceedsCharge | 3 10 0 |
    """)


async def test_a_refund_on_the_next_day(bench: Bench) -> None:
    """What belongs to the day that ended lapses at once, with a line of its own."""
    played = await scenario(bench, daily=3, monthly=10)
    await played.play("""
        2026-03-10 09:00 | charge a 8      | 0 5 0  | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -8 = 5
        2026-03-11 10:00 | refund a 4      | 3 9 0  | GRANTED DAILY 3 = 8, REFUNDED 4 = 12
        2026-03-11 11:00 | refund a 2      | 3 10 0 | REFUNDED 2 = 14, LAPSED DAILY -1 = 13
        2026-03-11 12:00 | refund a        | 3 10 0 | REFUNDED 2 = 15, LAPSED DAILY -2 = 13
    """)


async def test_a_goodwill_refund(bench: Bench) -> None:
    """On the same day and the next, in parts: what was drawn comes as permanent credit."""
    played = await scenario(bench, daily=3, monthly=10)
    await played.play("""
        2026-03-10 09:00 | charge a 8             | 0 5 0  | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -8 = 5
        2026-03-10 10:00 | refund a 4 goodwill    | 0 5 4  | REFUNDED 0 = 5, GRANTED PERMANENT 4 = 9
        2026-03-11 10:00 | refund a 3 goodwill    | 3 5 7  | GRANTED DAILY 3 = 12, REFUNDED 0 = 12, GRANTED PERMANENT 3 = 15
        2026-03-11 10:00 | refund a 2 goodwill: RefundExceedsCharge | 3 5 7 |
        2026-03-11 10:00 | refund a               | 3 5 7  | REFUNDED 1 = 16, LAPSED DAILY -1 = 15
    """)


async def test_a_refund_through_another_sidecar(bench: Bench, other: Bench) -> None:
    """Not only the one that charged: once a charge was sent, any decides with the central store."""
    played = await scenario(bench, daily=3, monthly=10, other=other)
    await played.play("""
        2026-03-10 09:00 | charge a 8              | 0 5 0  | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13, CHARGED -8 = 5
        2026-03-10 10:00 | other refund a 6        | 1 10 0 | REFUNDED 6 = 11
        2026-03-11 10:00 | refund a 1              | 3 10 0 | GRANTED DAILY 3 = 14, REFUNDED 1 = 15
                         |                         |        | LAPSED DAILY -1 = 14, LAPSED DAILY -1 = 13
        2026-03-11 10:00 | other refund a goodwill | 3 10 1 | REFUNDED 0 = 13, GRANTED PERMANENT 1 = 14
    """)


# Voids, debt, write-offs.


async def test_debt_and_its_repayment(bench: Bench) -> None:
    """What later grants bring pays the debt first; what is beyond the overdraft is written off for good. What paid the debt is
    given back to where it came from: to the two days that are over nothing.
    """
    played = await scenario(bench, daily=3, overdraft=5)
    await played.play("""
        2026-03-10 09:00 | incur a 10  | 0 0 0  | GRANTED DAILY 3 = 3, CHARGED -3 = 0, WRITTEN_OFF 0 = 0
        2026-03-10 10:00 | give g 1    | 0 0 0  | GRANTED PERMANENT 1 = 1, DEBT_REPAID -1 = 0
        2026-03-10 11:00 | charge b 1: InsufficientCredits | 0 0 0 |
        2026-03-11 10:00 | give h 2    | 0 0 1  | GRANTED DAILY 3 = 3, GRANTED PERMANENT 2 = 5, DEBT_REPAID -4 = 1
        2026-03-11 10:00 | charge c 1  | 0 0 0  | CHARGED -1 = 0
        2026-03-12 10:00 | refund a    | 3 0 2  | GRANTED DAILY 3 = 3, REFUNDED 8 = 11, LAPSED DAILY -3 = 8
                         |             |        | LAPSED DAILY -3 = 5
    """)


async def test_a_new_days_credit_repays_debt_before_it_can_be_taken_back(bench: Bench) -> None:
    """Whatever touches the account first."""
    played = await scenario(bench, daily=3, overdraft=5)
    await played.play("""
        2026-03-10 09:00 | incur a 5             | 0 0 0  | GRANTED DAILY 3 = 3, CHARGED -3 = 0
        2026-03-11 10:00 | void daily-2026-03-11 | 0 0 0  | GRANTED DAILY 3 = 3, DEBT_REPAID -2 = 1, VOIDED DAILY -1 = 0
    """)


# Plans.


async def test_plans_that_change_and_are_changed(bench: Bench) -> None:
    """A changed plan counts from the next period, another one at once; going back and forth and taking it away mint nothing."""
    played = await scenario(bench, daily=3, monthly=10)
    await played.play("""
        2026-03-10 09:00 | plan 5 20         | 3 10 0 | GRANTED DAILY 3 = 3, GRANTED MONTHLY 10 = 13
        2026-03-10 10:00 | charge a 1        | 2 10 0 | CHARGED -1 = 12
        2026-03-11 00:00 | look              | 5 10 0 | LAPSED DAILY -2 = 10, GRANTED DAILY 5 = 15
        2026-03-17 00:00 | assign big 6 15   | 6 15 0 | LAPSED DAILY -5 = 10, GRANTED DAILY 5 = 15, PLAN_CHANGED 0 = 15
                         |                   |        | GRANTED DAILY 1 = 16, GRANTED MONTHLY 5 = 21
        2026-03-17 01:00 | assign plan 5 20  | 6 20 0 | PLAN_CHANGED 0 = 21, GRANTED MONTHLY 5 = 26
        2026-03-17 02:00 | assign big 6 15   | 6 20 0 | PLAN_CHANGED 0 = 26
        2026-03-18 00:00 | charge b 1        | 5 20 0 | LAPSED DAILY -5 = 21, LAPSED DAILY -1 = 20
                         |                   |        | GRANTED DAILY 6 = 26, CHARGED -1 = 25
        2026-04-01 00:00 | look              | 6 15 0 | LAPSED DAILY -5 = 20, LAPSED MONTHLY -10 = 10
                         |                   |        | LAPSED MONTHLY -5 = 5, LAPSED MONTHLY -5 = 0
                         |                   |        | GRANTED DAILY 6 = 6, GRANTED MONTHLY 15 = 21
    """)
