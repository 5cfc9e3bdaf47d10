"""What an action needs to be priced: everything that is missing is found at once."""

import pytest

from creditmeter.core.prices.requirements import missing_in_usage, missing_in_work
from creditmeter.core.work import Usage, Work


@pytest.mark.parametrize(
    ("work", "fields"),
    [
        (Work(""), {"action"}),
        (Work("text"), {"request_model", "input_tokens"}),
        (Work("text", "openai"), {"request_model", "input_tokens"}),
        (Work("text", request_model="m"), {"input_tokens"}),
        (Work("text", request_model="m", input_tokens=0), set()),
        (Work("image"), {"request_model"}),
        (Work("image", request_model="m"), set()),
        (Work("tool"), {"tool"}),
        (Work("tool", tool="t"), set()),
        (Work("engagement"), set()),
        (Work("view"), set()),
    ],
)
def test_work(work: Work, fields: set[str]) -> None:
    """An explicit 0 is not missing."""
    assert {name for name, _ in missing_in_work(work)} == fields


@pytest.mark.parametrize(
    ("usage", "fields"),
    [
        (Usage(), {"action"}),
        (Usage("text"), {"request_model", "input_tokens", "output_tokens"}),
        (Usage("text", response_model="m", input_tokens=0), {"output_tokens"}),
        (Usage("text", request_model="m", input_tokens=0, output_tokens=0), set()),
        (Usage("text", provider_usage_json="{}"), set()),
        (Usage("image"), {"request_model"}),
        (Usage("image", response_model="m"), set()),
        (Usage("image", provider_usage_json="{}"), set()),
        (Usage("tool", provider_usage_json="{}"), {"tool"}),
        (Usage("tool", tool="t"), set()),
        (Usage("engagement"), set()),
    ],
)
def test_usage(usage: Usage, fields: set[str]) -> None:
    """Either model will do, and what a provider reports may have it, and the counts."""
    assert {name for name, _ in missing_in_usage(usage)} == fields
