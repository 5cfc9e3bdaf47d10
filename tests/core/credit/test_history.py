"""The filter of history, for charges that are no line of it yet."""

import pytest

from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType, HistoryFilter, LabelFilter
from creditmeter.core.instants import Instant
from creditmeter.core.values import replace
from creditmeter.core.work import Usage
from tests.core.builders import at, charge

NOON = at("10 12:00")
PENDING = replace(
    charge("c", excess=1, committed=NOON),
    usage=Usage(action="text", request_model="gpt", response_model="gpt-5"),
    labels={"job": "1"},
)


@pytest.mark.parametrize(
    ("wanted", "is_shown"),
    [
        (HistoryFilter(), True),
        (HistoryFilter(label=LabelFilter("job")), True),
        (HistoryFilter(label=LabelFilter("job", "1")), True),
        (HistoryFilter(label=LabelFilter("job", "2")), False),
        (HistoryFilter(label=LabelFilter("team")), False),
        (HistoryFilter(types=(EntryType.CHARGED,), action="text", model="gpt-5", label=LabelFilter("job", "1")), True),
        (HistoryFilter(types=(EntryType.REFUNDED,)), False),
        (HistoryFilter(action="image"), False),
        (HistoryFilter(model="gpt"), False),
        (HistoryFilter(tool="web_search"), False),
        (HistoryFilter(kinds=tuple(GrantKind)), False),
        (HistoryFilter(source=GrantSource.PLAN), False),
        (HistoryFilter(start=NOON, end=Instant(NOON + 1)), True),
        (HistoryFilter(start=Instant(NOON + 1)), False),
        (HistoryFilter(end=NOON), False),
    ],
)
def test_what_waits_to_be_posted_is_filtered_by_what_is_known(wanted: HistoryFilter, *, is_shown: bool) -> None:
    """The model is the one that served; which grants it will draw on is not known."""
    assert wanted.has(PENDING) is is_shown


def test_a_charge_of_an_amount_alone_has_no_model_or_tool() -> None:
    """So no filter by them shows it."""
    pending = replace(PENDING, usage=None)
    assert HistoryFilter().has(pending)
    assert not any(wanted.has(pending) for wanted in (HistoryFilter(model="gpt"), HistoryFilter(tool="web_search")))
