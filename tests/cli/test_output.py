"""What commands print."""

from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.cli.output import counted, draws_of, json_of, moment, signed, subject, word
from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, grants_pb2, metering_pb2, work_pb2


def test_json_has_the_contracts_names_and_integers() -> None:
    """Amounts are numbers at every depth, labels stay text, enums are names, and unset fields are there."""
    entry = account_pb2.HistoryEntry(
        type=account_pb2.HISTORY_TYPE_CHARGED,
        amount_microcredits=-(2**53) - 1,
        labels={"job": "42"},
        occurred_at=Timestamp(seconds=1),
        draws=[charges_pb2.Draw(grant_id="g", kind=grants_pb2.GRANT_KIND_DAILY, amount_microcredits=3)],
    )
    shown = json_of(account_pb2.ListHistoryResponse(entries=[entry]))
    assert shown["next_page_token"] == ""
    assert shown["pending"] == []
    found = shown["entries"][0]
    assert found["amount_microcredits"] == -(2**53) - 1
    assert found["balance_after_microcredits"] == 0
    assert found["type"] == "HISTORY_TYPE_CHARGED"
    assert found["labels"] == {"job": "42"}
    assert found["occurred_at"] == "1970-01-01T00:00:01Z"
    assert found["draws"] == [{"grant_id": "g", "kind": "GRANT_KIND_DAILY", "amount_microcredits": 3}]


def test_json_keeps_the_presence_of_counts() -> None:
    """A count that is 0 is shown, one that is unknown is not."""
    usage = work_pb2.Usage(action="text", output_tokens=0)
    shown = json_of(metering_pb2.CommitRequest(usage=usage))["usage"]
    assert shown["output_tokens"] == 0
    assert "input_tokens" not in shown


def test_words_of_enums() -> None:
    """An enum is shown without its prefix, and nothing for unspecified."""
    assert word(grants_pb2.GrantKind, grants_pb2.GRANT_KIND_DAILY) == "daily"
    assert word(admin_pb2.AccountState, admin_pb2.ACCOUNT_STATE_SUSPENDED) == "suspended"
    assert word(grants_pb2.GrantKind, 0) == ""


def test_amounts_are_signed_credits() -> None:
    """History shows what was added and what was taken."""
    assert [signed(each) for each in (1_500_000, 0, -2_000_000)] == ["+1.5", "0", "-2"]


def test_a_moment_that_is_unset_is_a_dash() -> None:
    """Grants without an end have none to show."""
    grant = grants_pb2.Grant(effective_at=Timestamp(seconds=0))
    assert moment(grant, "effective_at") == "1970-01-01 00:00"
    assert moment(grant, "expires_at") == "-"


def test_one_thing_is_not_called_by_its_plural() -> None:
    """And thousands are grouped."""
    assert [counted(each, "account") for each in (0, 1, 2, 1_000)] == [
        "0 accounts",
        "1 account",
        "2 accounts",
        "1,000 accounts",
    ]
    assert [counted(each, "entry", "entries") for each in (1, 3)] == ["1 entry", "3 entries"]


def test_draws_are_summed_by_bucket_in_their_order() -> None:
    """Two grants of one kind are one bucket."""
    kinds = [grants_pb2.GRANT_KIND_DAILY, grants_pb2.GRANT_KIND_PERMANENT, grants_pb2.GRANT_KIND_PERMANENT]
    draws = [charges_pb2.Draw(kind=kind, amount_microcredits=1_000_000) for kind in kinds]
    assert draws_of(draws) == "1 daily, 2 permanent"


def test_what_was_charged_is_named() -> None:
    """By action, tool, count and model, for settled charges and for those that wait."""
    entry = account_pb2.HistoryEntry(action="tool", tool="web_search", quantity=3)
    assert subject(entry) == "tool web_search x3"
    usage = work_pb2.Usage(request_model="a", response_model="b")
    assert subject(charges_pb2.Charge(action="text", usage=usage)) == "text b"
    images = work_pb2.Usage(request_model="paint", quantity=100_000)
    assert subject(charges_pb2.Charge(action="image", usage=images)) == "image x100,000 paint"
