"""Tokens, scopes and accounts of callers."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.access import (
    EVERY_SCOPE,
    ID_BYTES,
    SECRET_BYTES,
    Accounts,
    Credential,
    Credentials,
    DailyLimit,
    Rights,
    Scope,
    digest_of,
    new_credential_id,
    new_token,
)
from creditmeter.core.amounts import Microcredits
from creditmeter.core.ids import AccountId, account_key
from creditmeter.core.instants import Instant


def token_of(number: int, secret: bytes = b"s" * SECRET_BYTES) -> str:
    """A token of a credential."""
    return new_token(new_credential_id(number.to_bytes(ID_BYTES, "big")), secret)


def credential(token: str, **fields: object) -> Credential:
    """A credential with this token."""
    return Credential(token.split("_")[1], Rights("r", EVERY_SCOPE), digest_of(token), **fields)  # type: ignore[arg-type]  # as a test says


@given(st.binary(min_size=ID_BYTES, max_size=ID_BYTES), st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_token_is_known_by_its_digest(id_bytes: bytes, secret: bytes) -> None:
    """Whatever its bytes are; and no other token of the same credential is."""
    token = new_token(new_credential_id(id_bytes), secret)
    known = Credentials([credential(token)])
    assert known.with_token(token) is known.known[0]
    other = new_token(new_credential_id(id_bytes), bytes(each ^ 1 for each in secret))
    assert known.with_token(other) is None


@pytest.mark.parametrize(
    "text", ["", "cmt", "cmt_aaaaaaaa_", "CMT" + token_of(1)[3:], token_of(1) + " ", token_of(1)[:-1], "é\ud800"]
)
def test_what_is_no_token(text: str) -> None:
    """Is nobody's."""
    assert Credentials([credential(token_of(1))]).with_token(text) is None


def test_each_token_has_its_own_credential() -> None:
    """Among many."""
    tokens = [token_of(number, secrets.token_bytes(SECRET_BYTES)) for number in range(50)]
    known = Credentials(map(credential, tokens))
    assert [known.with_token(each) for each in tokens] == list(known.known)
    mixed = tokens[0][:13] + tokens[1][13:]
    assert known.with_token(mixed) is None


def test_a_certificate_is_known_by_the_first_of_its_names_that_is() -> None:
    """A credential with a token has no name."""
    by_name = Credential("b" * 8, Rights("c", EVERY_SCOPE), certificate="spiffe://x/worker")
    known = Credentials([credential(token_of(1)), by_name])
    assert known.with_certificate(["localhost", "spiffe://x/worker"]) is by_name
    assert known.with_certificate(["localhost", ""]) is None


def test_the_daily_limit_of_a_credential() -> None:
    """Of a token and of a certificate, by its id; a credential knows whose it is."""
    by_name = Credential("b" * 8, Rights("c", EVERY_SCOPE), certificate="spiffe://x/worker", daily_limit=Microcredits(0))
    limited = credential(token_of(1), daily_limit=Microcredits(7))
    known = Credentials([limited, by_name, credential(token_of(2))])
    found = [known.daily_limit(each.credential_id) for each in known.known]
    assert found == [DailyLimit("r", Microcredits(7)), DailyLimit("c", Microcredits(0)), None]
    assert known.daily_limit("unknown") is None
    assert [each.rights.credential_id for each in known.known] == [each.credential_id for each in known.known]


def test_accounts_by_name_and_by_the_beginning_of_their_ids() -> None:
    """Of a key it can be said whether a name has it; a beginning takes the id."""
    alice = AccountId("alice")
    named, begun = Accounts(frozenset({alice})), Accounts(prefixes=("team-", "al"))
    assert (named.has("alice"), named.has("alice2"), named.has("alic")) == (True, False, False)
    assert (begun.has("alice"), begun.has("team-"), begun.has("tea"), begun.has("xteam-")) == (True, True, False, False)
    assert (named.has_key(account_key(alice)), named.has_key(account_key(AccountId("bob")))) == (True, False)
    assert begun.has_key(account_key(alice)) is None
    assert not Accounts().has("alice")
    assert Accounts().has_key(account_key(alice)) is False


def test_what_is_unlimited() -> None:
    """Every scope, and all accounts."""
    assert Rights("r", EVERY_SCOPE).are_unlimited
    assert not Rights("r", EVERY_SCOPE, Accounts(prefixes=("a",))).are_unlimited
    assert not any(Rights("r", EVERY_SCOPE - {each}).are_unlimited for each in Scope)


def test_when_it_expires() -> None:
    """At that moment it is over."""
    limited = credential(token_of(1), expires_at=Instant(10))
    assert (limited.is_valid(Instant(9)), limited.is_valid(Instant(10))) == (True, False)
    assert credential(token_of(1)).is_valid(Instant(2**62))
