"""What has no price is refused, and the refusal says why."""

import dataclasses
from decimal import Decimal

import pytest

from creditmeter.core.amounts import from_credits
from creditmeter.core.instants import Instant
from creditmeter.core.prices.item_prices import MAX_QUANTITY
from creditmeter.core.prices.no_price import explained, invalid
from creditmeter.core.prices.rate_card import MAX_TOKENS, ImageRule, RateCard
from creditmeter.core.prices.usage_costs import price_usage
from creditmeter.core.prices.work_bounds import affordable_output_tokens, price_bound
from creditmeter.core.refusals import InvalidRequest, UnpricedWork
from creditmeter.core.values import replace
from creditmeter.core.work import Usage, Work
from tests.core.prices.priced import CARD, NOW, TEST_CARD, text


@pytest.mark.parametrize("model", ["unheard-of"])
@pytest.mark.parametrize("action", ["text", "image"])
def test_a_model_without_a_price_is_unpriced(action: str, model: str) -> None:
    """It is never free for that, neither before nor after the call."""
    usage = replace(text(model, 1, 1), action=action, provider="acme")
    work = Work(action=action, provider="acme", request_model=model, input_tokens=1)
    for outcome in (price_usage(CARD, usage, NOW), price_bound(CARD, work, NOW)):
        message = f"the rate card has no price for {action} by the model {model!r} of provider 'acme'"
        assert outcome == UnpricedWork(message)
    assert affordable_output_tokens(CARD, work, from_credits(100), NOW) is None


@pytest.mark.parametrize(
    "usage",
    [
        Usage(action="teleport"),
        Usage(action="Text"),
        Usage(action="image", request_model="plain"),
    ],
)
def test_what_the_card_does_not_list_is_unpriced(usage: Usage) -> None:
    """An action that nobody heard of, or a model that is priced for another one."""
    assert isinstance(price_usage(TEST_CARD, usage, NOW), UnpricedWork)
    nothing = RateCard(version="v", effective_from=Instant(0))
    assert isinstance(price_usage(nothing, Usage(action="tool", tool="t"), NOW), UnpricedWork)


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        (Usage(), "action"),
        (text("plain", None, 1), "input_tokens"),
        (text("plain", 1, None), "output_tokens"),
        (text("plain", -1), "input_tokens"),
        (text("plain", 0, MAX_TOKENS + 1), "output_tokens"),
        (text("plain", 1, cache_read=-1), "cache_read_input_tokens"),
        (text("plain", 1, reasoning=-1), "reasoning_output_tokens"),
        (text("all-classes", MAX_TOKENS, MAX_TOKENS), ""),
        (Usage(action="tool"), "tool"),
        (Usage(action="image"), "request_model"),
        (text("", 1, 1), "request_model"),
        (Usage(action="tool", quantity=-1), "quantity"),
        (Usage(action="tool", quantity=MAX_QUANTITY + 1), "quantity"),
        (Usage(action="image", request_model="draw"), "variant"),
        (Usage(action="image", request_model="draw", variant="sd"), "variant"),
        (Usage(action="image", request_model="paint", variant="sd"), "variant"),
    ],
)
def test_what_cannot_be_priced_is_invalid(usage: Usage, field: str) -> None:
    """A count that is missing, out of range, or makes a price beyond all amounts."""
    outcome = price_usage(TEST_CARD, usage, NOW)
    assert isinstance(outcome, InvalidRequest)
    ((path, why),) = outcome.violations
    assert path == (f"usage.{field}" if field else "usage")
    assert why


@pytest.mark.parametrize(
    ("work", "field"),
    [
        (Work(""), "action"),
        (Work("text", "", "gpt-4o"), "input_tokens"),
        (Work("text", "", "gpt-4o", -1), "input_tokens"),
        (Work("text", "", "gpt-4o", 1, -1), "max_output_tokens"),
        (Work("text", "", "gpt-4o", 1, MAX_TOKENS + 1), "max_output_tokens"),
        (Work("text", "", "all-classes", MAX_TOKENS, MAX_TOKENS), ""),
        (Work("text", "", "gpt-4o", 0, 0), "input_tokens"),
        (Work("tool", quantity=-1), "quantity"),
        (Work("tool", tool="web_search", quantity=0), "quantity"),
        (Work("image", request_model="dall-e-3", quantity=0), "quantity"),
        (Work("tool"), "tool"),
        (Work("image"), "request_model"),
        (Work("text", input_tokens=1), "request_model"),
    ],
)
def test_work_without_bounds_is_invalid(work: Work, field: str) -> None:
    """Text needs its input tokens, and a count is a count."""
    card = TEST_CARD if work.request_model == "all-classes" else CARD
    outcome = price_bound(card, work, NOW)
    assert isinstance(outcome, InvalidRequest)
    assert [path for path, _ in outcome.violations] == [f"work.{field}" if field else "work"]
    assert affordable_output_tokens(card, work, from_credits(100), NOW) is None


@pytest.mark.parametrize(
    ("call", "violations"),
    [
        pytest.param(
            Work("text", max_output_tokens=-1),
            (
                ("work.request_model", "is needed for text"),
                ("work.input_tokens", "is needed for text"),
                ("work.max_output_tokens", "must not be negative"),
            ),
            id="work",
        ),
        pytest.param(
            Usage("tool", quantity=-1, provider_usage_json="{}"),
            (("usage.tool", "is needed: its name"), ("usage.quantity", "must not be negative")),
            id="usage",
        ),
        pytest.param(
            Usage("text", provider_usage_json="{}"),
            (
                ("usage.request_model", "is needed for text, or response_model"),
                ("usage.input_tokens", "is needed for text"),
                ("usage.output_tokens", "is needed for text"),
                ("usage", "is wrong"),
            ),
            id="usage whose report was read, and had nothing",
        ),
    ],
)
def test_every_field_that_is_missing_is_named(call: Work | Usage, violations: tuple[tuple[str, str], ...]) -> None:
    """Beside the one that was found first."""
    field, why = violations[-1]
    refusal = explained(CARD, call, invalid(call, field.partition(".")[2], why))
    assert refusal == InvalidRequest(violations)


@pytest.mark.parametrize(
    ("work", "hint"),
    [
        pytest.param(Work("engagment"), "; did you mean 'engagement'?", id="one name"),
        pytest.param(Work("nothing of the kind"), "", id="none"),
        pytest.param(Work("image", request_model="wide-"), "; did you mean 'wide', 'wide-a' or 'wide-b'?", id="several"),
    ],
)
def test_an_unpriced_name_comes_with_those_near_it(work: Work, hint: str) -> None:
    """At the end of the message."""
    images = (ImageRule(model="wide", also=("wide-a", "wide-b"), credits=Decimal(1), variants={}),)
    card = dataclasses.replace(TEST_CARD, images=images)
    assert explained(card, work, UnpricedWork("no price")) == UnpricedWork(f"no price{hint}")
