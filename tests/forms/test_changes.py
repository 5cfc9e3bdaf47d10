"""Records of the journal's log: small, the same for ever, and nothing in them that an id or a text could be taken for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.credit.charges import Posting
from creditmeter.core.ids import AccountId, ChargeId, SidecarId, account_key
from creditmeter.core.metering.book import Change
from creditmeter.core.values import replace
from creditmeter.forms.body import BodyUnreadable
from creditmeter.forms.changes import ChargeUpdate, Logged, Packing, decode_change, encode_change
from tests.journal import things
from tests.journal.things import ACCOUNT, charge, reserving
from tests.properties import times_as_many

HERE = SidecarId("s1")
PACKED = (
    "83061638a48af481810671054a90814a1e5360d0981b1b9a9840820d08c061862a04133083a9d1512a335482584a723020b9860962842911fe0100"
)
"""The record of `reserving("r")`, as the first version with such records wrote it."""

PACKED_BEFORE = (
    "83061638a48af481810671054a90814a1e5360d0981b1b9a9840820d08c061862a04133083a9d1512a335482588a2d18d0d22796b040721213c41c53544f"
    "21120186d700"
)
"""The same, as it was written since metered calls: it says that no stream meters it."""

PACKED_NOW = (
    "83061638a48af481810671054a90814a1e5360d0981b1b9a9840820d08c061862a04133083a9d1512a335482588a2d18880a0e245731413498a2fa0b910e"
    "307c0700"
)
"""The same, as it is written since credentials have daily limits: it says that nobody showed one."""


def test_a_record_is_read_for_ever() -> None:
    """And is written as by every version since it last had another field."""
    packing = Packing(ACCOUNT, HERE)
    for packed in (PACKED, PACKED_BEFORE, PACKED_NOW):
        assert decode_change(ACCOUNT, packing.unpack(bytes.fromhex(packed))) == Logged(reserving("r"))
    assert packing.pack(encode_change(reserving("r"))).hex() == PACKED_NOW


@times_as_many(0.3)
@given(things.changes, st.sampled_from(["s1", "-", "", "acme"]))
def test_what_is_packed_comes_back(change: Change, sidecar_id: str) -> None:
    """Whatever texts and ids are in it."""
    packing = Packing(change.account_id, SidecarId(sidecar_id))
    assert decode_change(change.account_id, packing.unpack(packing.pack(encode_change(change)))) == Logged(change)


@given(st.text(st.characters(max_codepoint=127), max_size=40), st.text(min_size=1, max_size=10))
def test_a_text_that_looks_like_what_is_left_out_is_kept(text: str, account: str) -> None:
    """Signs, the account's own name and the middle of its ids, in a label."""
    account_id = AccountId(account)
    labels = {text: f"\x01\x02-{account_key(account_id)}-s1-", "account": account, account: text}
    (reservation,) = reserving("r", account_id=account_id).reservations
    change = Change(account_id, reservations=(replace(reservation, labels=labels),))
    packing = Packing(account_id, HERE)
    assert decode_change(account_id, packing.unpack(packing.pack(encode_change(change)))) == Logged(change)


def test_of_a_known_charge_only_what_is_new_is_written() -> None:
    """That it was sent, and what the central store decided."""
    posting = Posting(charge("c").committed_at, charge("c").cost, *(charge("c").excess,) * 3, ())
    posted = replace(charge("c"), sent=True, posting=posting)
    change = Change(ACCOUNT, charges=(posted, charge("d")))
    written = decode_change(ACCOUNT, encode_change(change, known={ChargeId("c")}))
    assert written == Logged(
        Change(ACCOUNT, charges=(charge("d"),)), (ChargeUpdate(ChargeId("c"), sent=True, posting=posting),)
    )


@pytest.mark.parametrize("packed", [b"", b"\xff" * 20, b"no such thing", bytes.fromhex(PACKED)[:-9]])
def test_what_is_no_record_is_told(packed: bytes) -> None:
    """It is never another record."""
    with pytest.raises(BodyUnreadable):
        decode_change(ACCOUNT, Packing(ACCOUNT, HERE).unpack(packed))
