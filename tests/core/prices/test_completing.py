"""What a usage leaves unset comes from the work that was reserved."""

from dataclasses import replace

import pytest

from creditmeter.core.prices.completing import complete_usage
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.refusals import InvalidRequest
from creditmeter.core.work import Usage, Work
from tests.core.prices.priced import CARD, NOW

WORK = Work("text", "openai", "gpt-4o", input_tokens=100, max_output_tokens=50, quantity=2, variant="hd", tool="t")


@pytest.mark.parametrize(
    ("usage", "expected", "estimated"),
    [
        (Usage(), Usage("text", "openai", "gpt-4o", "", 100, 50, quantity=2, variant="hd", tool="t"), True),
        (
            Usage(input_tokens=0, output_tokens=0),
            Usage("text", "openai", "gpt-4o", "", 0, 0, quantity=2, variant="hd", tool="t"),
            False,
        ),
        (
            Usage(output_tokens=7, response_model="gpt-4o-mini"),
            Usage("text", "openai", "gpt-4o", "gpt-4o-mini", 100, 7, quantity=2, variant="hd", tool="t"),
            True,
        ),
        (
            Usage(input_tokens=100, output_tokens=50, quantity=0, cache_read_input_tokens=5),
            Usage("text", "openai", "gpt-4o", "", 100, 50, 5, quantity=0, variant="hd", tool="t"),
            False,
        ),
        (
            Usage("text", "acme", "m", "r", 1, 2, quantity=3, variant="v", tool="w"),
            Usage("text", "acme", "m", "r", 1, 2, quantity=3, variant="v", tool="w"),
            False,
        ),
        (Usage("tool"), Usage("tool", "openai", "gpt-4o", quantity=2, variant="hd", tool="t"), False),
    ],
)
def test_a_usage_is_completed_from_its_work(usage: Usage, expected: Usage, estimated: bool) -> None:
    """An explicit 0 stays; a missing count of tokens is its bound, and only that makes an estimate."""
    assert complete_usage(usage, WORK) == (expected, estimated)


def test_missing_output_is_what_the_reservation_paid_for() -> None:
    """That may be less than the work, or the card's default where the work names no bound."""
    assert complete_usage(Usage(input_tokens=1), WORK, 20)[0].output_tokens == 20
    unknown = replace(WORK, max_output_tokens=None)
    assert complete_usage(Usage(input_tokens=1), unknown, 4096) == (
        replace(complete_usage(Usage(input_tokens=1), WORK)[0], output_tokens=4096),
        True,
    )
    usage, estimated = complete_usage(Usage(input_tokens=1), unknown)
    assert (usage.output_tokens, estimated) == (None, False)
    assert price_usage(CARD, usage, NOW) == InvalidRequest((("usage.output_tokens", "is needed to price text"),))
