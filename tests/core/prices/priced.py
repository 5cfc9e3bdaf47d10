"""Cards with prices of every kind, and what usage and work cost by them."""

import dataclasses
from importlib.resources import files
from typing import Any

from creditmeter.catalog.bundled import bundled_price_list
from creditmeter.core.amounts import Microcredits, from_credits
from creditmeter.core.credit.charges import Cost, Part
from creditmeter.core.credit.reservations import Hold, Reservation, ReservationState
from creditmeter.core.ids import AccountId, LeaseId, RequestId, ReservationId
from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.prices.work_bounds import price_bound
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work

NOW = Instant(1_800_000_000_000_000)

CARD = parse_rate_card(
    files("creditmeter.core.prices").joinpath("default_rate_card.toml").read_text(encoding="utf-8"), bundled_price_list
)

TEST_CARD = parse_rate_card(
    """\
    version = "test"
    effective_from = 1970-01-01T00:00:00Z
    higher_cost_models = ["all-classes"]
    free = ["view"]
    [actions.engagement]
    [tools]
    cheap_search = "0.4"
    gratis_search = 0
    [image]
    models = [{ model = "paint", credits = 10, variants = { hd = 20 } }, { model = "draw", variants = { hd = 15 } }]
    [[text.models]]
    model = "plain"
    input = "0.07"
    output = 7
    [[text.models]]
    model = "in-credits"
    unit = "credits"
    input = 100
    output = 400
    [[text.models]]
    model = "all-classes"
    input = 1000
    cache_read = 100
    cache_write = 1250
    cache_write_1h = 2000
    audio_input = 3000
    image_input = 5000
    output = 10000
    reasoning = 20000
    audio_output = 30000
    image_output = 50000
    [[text.models]]
    model = "gratis"
    input = 0
    output = 0
    """
)


def text(model: str, input_tokens: int | None = 0, output_tokens: int | None = 0, **parts: int) -> Usage:
    """A usage of a language model; the parts without their suffix, such as `cache_read`."""
    suffixes = {"reasoning": "_output_tokens", "audio_output": "_tokens", "image_output": "_tokens"}
    suffixes |= {"audio_input": "_tokens", "image_input": "_tokens"}
    counts: dict[str, Any] = {part + suffixes.get(part, "_input_tokens"): count for part, count in parts.items()}
    usage = Usage(action="text", response_model=model, input_tokens=input_tokens, output_tokens=output_tokens)
    return replace(usage, **counts)


def price(card: RateCard, usage: Usage) -> Cost:
    """The price of what has one."""
    outcome = price_usage(card, usage, NOW)
    assert isinstance(outcome, Cost), outcome
    return outcome


def bound(card: RateCard, work: Work) -> Hold:
    """The bound of what has one."""
    outcome = price_bound(card, work, NOW)
    assert isinstance(outcome, Hold), outcome
    return outcome


def unbounded(card: RateCard) -> RateCard:
    """The same prices to the microcredit, without a minimum."""
    return dataclasses.replace(card, increment=Microcredits(1), minimum=Microcredits(0))


def reserved(work: Work | None) -> Reservation:
    """A reservation for work."""
    return Reservation(
        reservation_id=ReservationId("r"),
        account_id=AccountId("a"),
        request_id=RequestId("q"),
        state=ReservationState.HELD,
        parts=(Part(LeaseId("l"), from_credits(10), Instant(0)),),
        created_at=Instant(0),
        expires_at=Instant(1),
        rate_card_version="v",
        work=work,
    )
