"""How often a settler settles."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from creditmeter.core.credit.leases import Moment
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Instant, Span
from creditmeter.sidecar.account_records import AccountRecords, Mark
from creditmeter.sidecar.books import Books
from creditmeter.sidecar.exchanger import Exchanger
from creditmeter.sidecar.settler import Settler, pause_after
from tests.clocks import ManualClock

_MILLISECOND = SECOND // 1_000


@pytest.mark.parametrize(
    ("spent", "interval", "pause"),
    [
        (0, 1.0, 1.0),
        (100 * _MILLISECOND, 1.0, 1.0),
        (200 * _MILLISECOND, 1.0, 1.8),
        (10 * SECOND, 1.0, 2.0),
        (10 * SECOND, 60.0, 60.0),
        (2 * _MILLISECOND, 0.01, 0.018),
    ],
)
def test_the_pause_is_the_interval_or_nine_times_what_was_spent_up_to_two_seconds(
    spent: int, interval: float, pause: float
) -> None:
    """Where settling takes more than a tenth of the time there is a longer pause, which has a bound."""
    assert pause_after(Span(spent), interval) == pytest.approx(pause)


class _Timed(Settler):
    """Settles in so many milliseconds each time, and fails after those."""

    def __init__(self, spans: list[int]) -> None:
        self._spans = spans
        self.clock = ManualClock()
        self.epoch = 0
        self.records = AccountRecords()
        super().__init__(self.records, cast("Books", self), cast("Exchanger", self))

    def moment(self) -> Moment:
        """What the books say the time is."""
        return Moment(Instant(self.clock.wall()), self.clock.boot())

    async def settle(self, accounts: Sequence[AccountId] | None = None) -> None:
        """Take the next span of time."""
        assert accounts is None
        if not self._spans:
            raise OSError
        self.clock.advance(self._spans.pop(0) * _MILLISECOND)
        self.records.take(Mark.UNSETTLED)


async def test_a_settler_whose_settlements_take_long_rests_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause follows what the last settlement took; after one that failed it is the interval again."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr("creditmeter.sidecar.settler.asyncio.sleep", sleep)
    monkeypatch.setattr("creditmeter.sidecar.settler.random.uniform", lambda _least, _most: 1.0)
    with pytest.raises(asyncio.CancelledError):
        await _Timed([20, 150, 20, 2_000]).run(1.0)
    assert pauses == pytest.approx([1.0, 1.0, 1.35, 1.0, 2.0, 1.0])


async def test_a_settler_with_nothing_to_settle_is_not_woken() -> None:
    """Once the sidecar is registered: until then each attempt to settle is one to register."""
    settler = _Timed([0, 0, 0])
    running = asyncio.create_task(settler.run(0))
    while len(settler._spans) == 3:
        await asyncio.sleep(0)
    settler.epoch = 1
    settler.records.take(Mark.UNSETTLED)
    await _yield_often()
    left = len(settler._spans)
    await _yield_often()
    assert len(settler._spans) == left > 0
    settler.records.mark(AccountId("acme"), Mark.UNSETTLED)
    await _yield_often()
    assert len(settler._spans) == left - 1
    running.cancel()


async def _yield_often() -> None:
    for _ in range(50):
        await asyncio.sleep(0)
