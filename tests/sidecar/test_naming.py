"""New ids: each is another one, in the order in which they were given, and none can be told from those before."""

from collections.abc import Callable
from typing import cast

import pytest

from creditmeter.core.ids import AccountId, SidecarId, account_key, is_id, origin_of
from creditmeter.sidecar.naming import RANDOM_BYTES, Names, new_sidecar_id

ACME = AccountId("acme")
MAKERS = ("reservation", "charge", "refund")
LONGEST = 80
"""Characters of an id that a sidecar with a name of its own makes: it is kept many times, in memory and on disk."""


def made(names: Names, kind: str, count: int) -> list[str]:
    """So many new ids."""
    make = cast("Callable[[AccountId], str]", getattr(names, kind))
    return [make(ACME) for _ in range(count)]


@pytest.mark.parametrize("kind", MAKERS)
def test_ids_differ_and_keep_their_order(kind: str) -> None:
    """They sort as they were given, and say whose they are and where they were made."""
    names = Names(new_sidecar_id())
    found = made(names, kind, 1_000)
    assert found == sorted(set(found))
    for each in found:
        origin = origin_of(each)
        assert origin is not None
        assert (origin.account_key, origin.sidecar_id) == (account_key(ACME), names.sidecar_id)
        assert is_id(each)
        assert len(each) <= LONGEST


@pytest.mark.parametrize("kind", MAKERS)
def test_no_id_follows_from_another(kind: str) -> None:
    """The end of each is its own: of a hundred ids one after another no two share it, nor half of it."""
    found = made(Names(SidecarId("s1")), kind, 100)
    for digits in (2 * RANDOM_BYTES, RANDOM_BYTES):
        assert len({each[-digits:] for each in found}) == len(found)


def test_a_refund_of_a_charge_elsewhere_is_random_too() -> None:
    """Its account is known by its key alone."""
    names = Names(SidecarId("s1"))
    origin = origin_of(names.charge(ACME))
    assert origin is not None
    ends = {names.refund_of(origin)[-2 * RANDOM_BYTES :] for _ in range(100)}
    assert len(ends) == 100
