"""Things to write to a journal: some by name, and any by chance."""

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, AccountState, Alert
from creditmeter.core.credit.charges import Charge, Part, Posting, PricedPart, Refund, RefundMode, RefundPosting, StandIn
from creditmeter.core.credit.grants import Draw, GrantKind
from creditmeter.core.credit.leases import Lease
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, Receipt, RefundCharge, Release, Request, Reserve
from creditmeter.core.credit.reservations import Reservation, ReservationState
from creditmeter.core.ids import AccountId, ChargeId, GrantId, LeaseId, PlanId, RefundId, RequestId, ReservationId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Change
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, UsageSource, Work

ACCOUNT = AccountId("acme")
NOON = Instant(1_773_144_000_000_000)


def held(name: str, amount: int = 5, account_id: AccountId = ACCOUNT) -> Reservation:
    """An open reservation."""
    return Reservation(
        reservation_id=ReservationId(name),
        account_id=account_id,
        request_id=RequestId(f"{name}/reserve"),
        state=ReservationState.HELD,
        parts=(Part(LeaseId("lease"), Microcredits(amount), NOON),),
        created_at=NOON,
        expires_at=Instant(NOON + 600_000_000),
        rate_card_version="v1",
    )


def reserving(name: str, amount: int = 5, account_id: AccountId = ACCOUNT) -> Change:
    """The change that a Reserve makes."""
    reservation = held(name, amount, account_id)
    request = Reserve(reservation.request_id, account_id, amount=Microcredits(amount))
    return Change(account_id, reservations=(reservation,), receipts=(Receipt(request, reservation),))


def charge(name: str, amount: int = 5) -> Charge:
    """A charge that waits to be posted."""
    return Charge(
        charge_id=ChargeId(name),
        account_id=ACCOUNT,
        request_id=RequestId(f"{name}/charge"),
        reservation_id=None,
        commit_number=1,
        cost=Microcredits(amount),
        parts=(Part(LeaseId("lease"), Microcredits(amount), NOON),),
        excess=Microcredits(0),
        exact_credits=Decimal("0.000005"),
        cost_usd=Decimal("0.00000005"),
        usage=None,
        rate_card_version="v1",
        authorized_at=NOON,
        committed_at=NOON,
    )


def ended(name: str) -> Change:
    """A reservation that was released as soon as it was made."""
    return replace(reserving(name), reservations=(held(name).end(ReservationState.RELEASED, NOON),))


def lease(name: str, limit: int = 100) -> Lease:
    """A lease of this sidecar."""
    return Lease(LeaseId(name), ACCOUNT, NOON, Instant(NOON + 43_200_000_000), Microcredits(limit))


# Anything that could be written. Amounts and moments are such as occur, and some that are at the edge.

_amounts = st.integers(0, 10**15).map(Microcredits)
_moments = st.integers(0, 2**62).map(Instant)
_texts = st.text(max_size=20)
_ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=128)
_labels = st.dictionaries(_texts, _texts, max_size=3)
_counts = st.none() | st.integers(0, 2**53)
_decimals = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False)
_parts = st.lists(st.builds(Part, _ids.map(LeaseId), _amounts, _moments), max_size=3).map(tuple)

_flags = st.lists(st.sampled_from(ChargeFlag), max_size=3)
_by_name = st.dictionaries(_texts, st.integers(0, 10**9), max_size=3)
_priced_parts = st.builds(
    PricedPart,
    *(_texts, _texts, _texts, _by_name, _by_name, _decimals, _flags.map(tuple)),
    *(_texts, _texts, _texts, st.none() | _decimals),
)

works = st.builds(Work, _texts, _texts, _texts, _counts, _counts, _counts, _texts, _texts, _texts)
usages = st.builds(
    Usage,
    action=_texts,
    provider=_texts,
    request_model=_texts,
    response_model=_texts,
    input_tokens=_counts,
    output_tokens=_counts,
    cache_creation_1h_input_tokens=_counts,
    quantity=_counts,
    source=st.sampled_from(UsageSource),
    provider_usage_json=st.just('{"a": [1.5, "é", null]}') | _texts,
    units=_by_name,
    served=st.builds(Served, _texts, _texts, _texts, _texts),
)
accounts = st.builds(
    Account,
    account_id=st.just(ACCOUNT),
    created_at=_moments,
    plan_id=st.none() | _ids.map(PlanId),
    time_zone=st.sampled_from(["UTC", "Africa/Cairo"]),
    anchor_day=st.integers(1, 31),
    state=st.sampled_from(AccountState),
    overdraft_limit=_amounts,
    max_open_reservations=st.integers(0, 10**6),
    max_reservation=_amounts,
    offline_allowance=_amounts,
    alerts=st.lists(st.builds(Alert, _amounts, st.integers(0, 100)), max_size=2).map(tuple),
)
leases = st.builds(
    Lease,
    *(_ids.map(LeaseId), st.just(ACCOUNT), _moments, _moments, _amounts, _amounts),
    trusted_until=st.integers(0, 2**40).map(Span),
)


@st.composite
def reservations(draw: st.DrawFn) -> Reservation:
    """A reservation in any state; only an open one holds credit."""
    state = draw(st.sampled_from(ReservationState))
    return Reservation(
        reservation_id=ReservationId(draw(_ids)),
        account_id=ACCOUNT,
        request_id=RequestId(draw(_ids)),
        state=state,
        parts=draw(_parts) if state is ReservationState.HELD else (),
        created_at=draw(_moments),
        expires_at=draw(_moments),
        rate_card_version=draw(_texts),
        work=draw(st.none() | works),
        labels=draw(_labels),
        charged=draw(_amounts),
        charge_ids=tuple(ChargeId(each) for each in draw(st.lists(_ids, max_size=3))),
        max_output_tokens=draw(_counts),
        ended_at=draw(st.none() | _moments),
        release_reason=draw(_texts),
    )


_draws = st.builds(Draw, _ids.map(GrantId), st.sampled_from(GrantKind), _amounts, _amounts)
_postings = st.builds(
    Posting,
    _moments,
    _amounts,
    _amounts,
    _amounts,
    _amounts,
    st.lists(_draws, max_size=2).map(tuple),
    st.none() | _ids.map(ChargeId),
)


@st.composite
def charges(draw: st.DrawFn) -> Charge:
    """A charge, posted or not; its parts and its excess make up its cost."""
    parts, excess = draw(_parts), draw(_amounts)
    return replace(
        charge(draw(_ids)),
        cost=Microcredits(excess + sum(part.amount for part in parts)),
        parts=parts,
        excess=excess,
        reservation_id=draw(st.none() | _ids.map(ReservationId)),
        commit_number=draw(st.integers(1, 1000)),
        exact_credits=draw(_decimals),
        cost_usd=draw(_decimals),
        usage=draw(st.none() | usages),
        authorized_at=draw(_moments),
        late=draw(st.booleans()),
        flags=tuple(draw(_flags)),
        priced_parts=tuple(draw(st.lists(_priced_parts, max_size=2))),
        unread=tuple(draw(st.lists(_texts, max_size=2))),
        reported_cost_usd=draw(st.none() | _decimals),
        priced_at=draw(st.none() | _moments),
        stand_in=draw(st.none() | st.builds(StandIn, _texts, _texts, _texts)),
        labels=draw(_labels),
        sent=draw(st.booleans()),
        posting=draw(st.none() | _postings),
    )


refunds = st.builds(
    Refund,
    _ids.map(RefundId),
    _ids.map(ChargeId),
    st.just(ACCOUNT),
    _ids.map(RequestId),
    _amounts,
    st.sampled_from(RefundMode),
    _texts,
    _moments,
    st.none() | st.builds(RefundPosting, _moments, _amounts, _amounts),
)
_request_ids = _ids.map(RequestId)
_spans = st.none() | st.integers(1, 2**40).map(Span)
_some = st.none() | _amounts
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Reserve, _request_ids, st.just(ACCOUNT), st.none() | works, _some, _spans, st.booleans(), _labels),
    st.builds(Extend, _request_ids, _ids.map(ReservationId), st.none() | works, _some, _spans),
    st.builds(Commit, _request_ids, _ids.map(ReservationId), st.none() | usages, _some, st.booleans()),
    st.builds(Release, _request_ids, _ids.map(ReservationId), _texts),
    st.builds(ChargeNow, _request_ids, st.just(ACCOUNT), st.none() | usages, _some, st.booleans(), _labels),
    st.builds(RefundCharge, _request_ids, _ids.map(ChargeId), _some, st.sampled_from(RefundMode), _texts),
)
receipts = st.builds(Receipt, requests, st.none() | reservations(), st.none() | charges(), st.none() | refunds)


def _several(things: st.SearchStrategy[object]) -> st.SearchStrategy[Sequence[object]]:
    return st.lists(things, max_size=2).map(tuple)


changes = st.builds(
    Change,
    st.just(ACCOUNT),
    reservations=_several(reservations()),
    charges=_several(charges()),
    refunds=_several(refunds),
    leases=_several(leases),
    receipts=_several(receipts),
    account=st.none() | accounts,
)
