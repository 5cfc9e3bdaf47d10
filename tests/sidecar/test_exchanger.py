"""An exchange that the central store cannot answer, because a row is damaged."""

import pytest

from creditmeter.central.engine.faults import CentralRowDamaged
from tests.sidecar.bench import ACCOUNT, Bench
from tests.sidecar.requests import charge
from tests.sidecar.wire import NOBODY, Fate


async def test_damage_of_an_account_that_no_message_is_about_ends_the_exchange(bench: Bench) -> None:
    """Without that account the messages would be the same, and be sent for ever. The next settlement tries again."""
    await bench.account(permanent=10)
    await charge(bench, "first", 1)
    bench.wire.sent.clear()
    bench.wire.fates = [Fate.MISREAD] * 3
    with pytest.raises(CentralRowDamaged, match=NOBODY):
        await bench.sidecar.settle()
    assert [[each.account_id for each in messages] for messages in bench.wire.sent] == [[ACCOUNT]]
    bench.wire.fates.clear()
    await bench.sidecar.settle()
    assert not any(book.has_unposted for book in bench.sidecar.books)
