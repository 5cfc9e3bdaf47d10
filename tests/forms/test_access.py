"""The access file, as it is written and read."""

import json
from typing import Any

import pytest

from creditmeter.core.access import Accounts, Credential, Credentials, Rights, Scope
from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import AccountId
from creditmeter.core.instants import SECOND, Instant
from creditmeter.forms.access import AccessFileError, read_credentials, write_credentials

TOKEN = {"id": "aaaaaaaa", "name": "worker", "scopes": ["meter"], "token_sha256": "0" * 64}


def test_what_is_written_is_read() -> None:
    """Every field, also those that are not set."""
    at = Instant(1_790_000_000 * SECOND)
    bound = Rights("r", frozenset({Scope.READ, Scope.ADMIN}), Accounts(frozenset({AccountId("a"), AccountId("b")}), ("t-",)))
    nothing = Rights("n", frozenset({Scope.METER}), Accounts())
    known = [
        Credential("aaaaaaaa", bound, b"d" * 32, "", Instant(at + 1), at),
        Credential("bbbbbbbb", nothing, b"", "spiffe://x/y", None, at, Microcredits(12_500_001)),
        Credential("cccccccc", Rights("all", frozenset({Scope.REFUND})), b"e" * 32, "", None, at),
    ]
    text = write_credentials(Credentials(known))
    assert list(read_credentials(text).known) == known
    assert text.startswith(b'{\n  "version": 1,')
    assert list(json.loads(text)["credentials"][2]) == ["id", "name", "scopes", "token_sha256", "created_at"]


def test_a_file_of_people() -> None:
    """As the documentation shows it."""
    entry = TOKEN | {"account_prefixes": ["team-"], "expires_at": "2027-01-01T00:00:00Z"}
    (found,) = read_credentials(json.dumps({"version": 1, "credentials": [entry]}).encode()).known
    assert found.rights == Rights("worker", frozenset({Scope.METER}), Accounts(prefixes=("team-",)))
    assert found.expires_at == 1_798_761_600 * SECOND


@pytest.mark.parametrize(
    ("written", "amount"),
    [("500", 500_000_000), ("0", 0), ("0.000001", 1), ("1e3", 1_000_000_000), ('"2.5"', 2_500_000), ("null", None)],
)
def test_a_daily_limit_is_a_decimal_number_of_credits(written: str, amount: int | None) -> None:
    """Exactly, and written as a number."""
    text = json.dumps({"version": 1, "credentials": [TOKEN | {"daily_limit_credits": "LIMIT"}]}).replace('"LIMIT"', written)
    found = read_credentials(text.encode())
    assert found.known[0].daily_limit == amount
    assert read_credentials(write_credentials(found)).known == found.known
    if amount is not None:
        assert isinstance(json.loads(write_credentials(found))["credentials"][0]["daily_limit_credits"], int | float)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scope": ["meter"]}, "unknown field `scope`"),
        ({"scopes": []}, "length >= 1"),
        ({"scopes": ["everything"]}, "Invalid enum value 'everything'"),
        ({"id": "short"}, "matching regex"),
        ({"token_sha256": "0" * 63}, "matching regex"),
        ({"certificate": "x"}, "needs either a token_sha256 or a certificate"),
        ({"token_sha256": None}, "needs either a token_sha256 or a certificate"),
        ({"accounts": ["two words"]}, "names 'two words'"),
        ({"account_prefixes": [""]}, "length >= 1"),
        ({"expires_at": "2027-01-01T00:00:00"}, "needs a time zone"),
        ({"daily_limit_credits": -1}, "the daily_limit_credits of the credential aaaaaaaa must be from 0 to 1,000,000,000"),
        ({"daily_limit_credits": 1_000_000_001}, "must be from 0 to 1,000,000,000, and is 1000000001"),
        ({"daily_limit_credits": 1e300}, "daily_limit_credits of the credential aaaaaaaa"),
        ({"daily_limit_credits": "1e900000"}, "more than any number of credits"),
        ({"daily_limit_credits": 0.0000001}, "at most six decimal places"),
        ({"daily_limit_credits": float("nan")}, "no access file"),
        ({"daily_limit_credits": "NaN"}, "daily_limit_credits"),
        ({"daily_limit_credits": "Infinity"}, "daily_limit_credits"),
        ({"daily_limit_credits": "five"}, "daily_limit_credits"),
        ({"daily_limit_credits": True}, "daily_limit_credits"),
    ],
)
def test_what_cannot_be_used_is_named(changes: dict[str, Any], why: str) -> None:
    """The whole file is refused: half of it would grant something else."""
    text = json.dumps({"version": 1, "credentials": [TOKEN | changes]}).encode()
    with pytest.raises(AccessFileError, match=why):
        read_credentials(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no access file"),
        (b"\xff", "no access file"),
        (b"[" * 100_000, "no access file"),
        (b'{"version": 1}', "missing required field `credentials`"),
        (b'{"version": 2, "credentials": []}', "reads version 1"),
        (json.dumps({"version": 1, "credentials": [TOKEN, TOKEN]}).encode(), "the id aaaaaaaa is there twice"),
    ],
)
def test_what_is_no_access_file(text: bytes, why: str) -> None:
    """Nobody is let in by guessing."""
    with pytest.raises(AccessFileError, match=why):
        read_credentials(text)
