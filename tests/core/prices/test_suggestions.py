"""What a rate card suggests for what it does not price."""

import pytest

from creditmeter.core.instants import Instant
from creditmeter.core.prices.rate_card import RateCard
from creditmeter.core.prices.rate_card_document import parse_rate_card
from creditmeter.core.prices.rate_cards import LoadedCard
from creditmeter.core.prices.suggestions import MAX_SUGGESTIONS, near_names
from creditmeter.core.prices.work_bounds import price_bound
from creditmeter.core.refusals import UnpricedWork
from creditmeter.core.work import Work

NOW = Instant(1_800_000_000_000_000)
OWN = """
version = "own"
effective_from = 1970-01-01T00:00:00Z
free = ["view"]
[actions.engagement]
[image]
models = [{ model = "paint-1", variants = { standard = 10, hd = 20 } }]
[[text.models]]
provider = "maker"
model = "talk-large"
also = ["chatterbox"]
input = 1
output = 1
[[text.models]]
provider = "other"
model = "talk-largest"
input = 1
output = 1
"""


def suggested(card: RateCard, work: Work) -> tuple[str, ...]:
    """What the card suggests for work that it does not price."""
    outcome = price_bound(card, work, NOW)
    assert isinstance(outcome, UnpricedWork), outcome
    return near_names(card, work)


@pytest.mark.parametrize(
    ("work", "names"),
    [
        pytest.param(Work("text", "", "talk-lrge", 1), ("talk-large", "talk-largest"), id="a model of any provider"),
        pytest.param(Work("text", "maker", "talk-lrge", 1), ("talk-large",), id="a model of its provider only"),
        pytest.param(Work("text", "", "chatter-bx", 1), ("chatterbox",), id="another name of a model"),
        pytest.param(Work("image", request_model="paint"), ("paint-1",), id="an image model"),
        pytest.param(Work("text", "", "openrouter/maker/talk-lrge", 1), ("talk-large", "talk-largest"), id="behind a route"),
        pytest.param(Work("engagment"), ("engagement",), id="an action"),
        pytest.param(Work("views"), ("view",), id="a free action"),
        pytest.param(Work("text", "", "nothing-of-the-kind", 1), (), id="nothing near"),
        pytest.param(Work("tool", tool="web_search"), (), id="a section that the card has not"),
    ],
)
def test_what_is_called_nearly_the_same_and_has_a_price(work: Work, names: tuple[str, ...]) -> None:
    """Of models those of the provider named, if one is."""
    assert suggested(parse_rate_card(OWN, None), work) == names


def test_models_of_the_price_list_are_suggested(card: LoadedCard) -> None:
    """At most three, and each has a price."""
    names = suggested(card.card, Work("text", "openai", "gpt-4o-mimi", 1))
    assert names[0] == "gpt-4o-mini"
    assert len(names) <= MAX_SUGGESTIONS
    assert all(card.card.text_rule("openai", name) for name in names)
    assert suggested(card.card, Work("text", "anthropic", "gpt-4o-mimi", 1)) == ()
