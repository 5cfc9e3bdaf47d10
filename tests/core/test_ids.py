"""Ids say where their thing was made, and every id that is made can be read back."""

import pytest

from creditmeter.core.ids import (
    MAX_ID_LENGTH,
    AccountId,
    Origin,
    RequestId,
    SidecarId,
    account_key,
    charge_id,
    grant_id,
    is_id,
    lease_id,
    origin_of,
    refund_id,
    reservation_id,
)
from creditmeter.core.instants import Instant

ACME = AccountId("acme")
HERE = SidecarId("s1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", True),
        ("job42/reserve", True),
        ("!~", True),
        ("x" * MAX_ID_LENGTH, True),
        ("x" * (MAX_ID_LENGTH + 1), False),
        ("", False),
        ("two words", False),
        ("line\n", False),
        ("tab\t", False),
        ("café", False),
        ("\x7f", False),
    ],
)
def test_an_id_is_printable_ascii_without_spaces(text: str, expected: bool) -> None:
    """1 to 128 characters from ! to ~."""
    assert is_id(text) is expected


def test_an_accounts_key_is_short_and_its_own() -> None:
    """16 characters of base 32 (80 bits), the same each time, another for another account."""
    keys = {account_key(AccountId(f"account-{number}")) for number in range(1_000)}
    assert len(keys) == 1_000
    assert all(len(key) == 16 and set(key) <= set("abcdefghijklmnopqrstuvwxyz234567") for key in keys)
    assert account_key(ACME) == account_key(AccountId("acme")) == "rq3shlbl4cuwnrkb"


@pytest.mark.parametrize(("make", "kind"), [(reservation_id, "res"), (charge_id, "chg"), (refund_id, "ref")])
def test_a_made_id_says_where_it_was_made(make: object, kind: str) -> None:
    """Its kind, its account's key and its sidecar can be read out of it, and it is an id itself."""
    assert callable(make)
    made = make(ACME, HERE, "00af")
    assert origin_of(made) == Origin(kind, account_key(ACME), HERE)
    assert is_id(made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "res-short-s1-1",
        "res-rq3shlbl4cuwnrkb-s1-",
        "res-rq3shlbl4cuwnrkb-S1-1",
        "res-rq3shlbl4cuwnrk1-s1-1",
        "lea-rq3shlbl4cuwnrkb-s1-1",
        "res-rq3shlbl4cuwnrkb-s1-1-2",
        "res-rq3shlbl4cuwnrkb-s1-1\n",
        "xres-rq3shlbl4cuwnrkb-s1-1",
    ],
)
def test_nothing_is_read_out_of_other_texts(text: str) -> None:
    """What was not made here names no account and no sidecar."""
    assert origin_of(text) is None


def test_the_longest_made_id_is_an_id() -> None:
    """The longest sidecar id and tail still make an id within the limit."""
    assert is_id(reservation_id(ACME, SidecarId("s" * 32), "z" * 40))


def test_one_request_gives_one_grant() -> None:
    """The same request always names the same grant; another request or account names another one."""
    first = grant_id(ACME, RequestId("buy-1"))
    assert first == grant_id(ACME, RequestId("buy-1"))
    assert len({first, grant_id(ACME, RequestId("buy-2")), grant_id(AccountId("other"), RequestId("buy-1"))}) == 3


def test_a_sidecar_has_one_lease_of_an_account_until_a_midnight() -> None:
    """The lease's id follows from the account, the sidecar and the midnight, and from nothing else."""
    names = {
        lease_id(account, sidecar, Instant(midnight))
        for account in (ACME, AccountId("other"))
        for sidecar in (HERE, SidecarId("s2"))
        for midnight in (100, 200)
    }
    assert len(names) == 8
    assert lease_id(ACME, HERE, Instant(100)) in names
