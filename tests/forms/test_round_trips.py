"""Every value that the core could make comes back from its body as it was."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from creditmeter.core.amounts import Microcredits
from creditmeter.core.clocks import KeptTime
from creditmeter.core.credit.accounts import Account, AccountState, Alert
from creditmeter.core.credit.administration import (
    AccountUpdate,
    CreateAccount,
    GrantCredits,
    UpdateAccount,
    Voided,
    VoidGrant,
)
from creditmeter.core.credit.calendar import Period
from creditmeter.core.credit.charges import Charge, Posting, Refund, RefundPosting
from creditmeter.core.credit.grants import Draw, Grant, GrantKind, GrantSource
from creditmeter.core.credit.leases import Lease
from creditmeter.core.credit.messages import Answer, BalanceSummary, Bucket, LeaseTerms
from creditmeter.core.credit.requests import RefundCharge, Request
from creditmeter.core.credit.reservations import Reservation
from creditmeter.core.credit.schedule import CalendarChange
from creditmeter.core.ids import AccountId, ChargeId, GrantId, LeaseId, PlanId, RefundId, RequestId, SidecarId
from creditmeter.core.instants import Instant, Span
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.core.prices.rates import LongContext, TextPrices, TextRates
from creditmeter.core.values import replace
from creditmeter.forms.accounts import ACCOUNT, AHEAD, ALERTS, CALENDAR_CHANGE
from creditmeter.forms.administration import CENTRAL_REQUEST, CentralRequest, reply_form
from creditmeter.forms.answers import ANSWER
from creditmeter.forms.charges import CHARGE, REFUND
from creditmeter.forms.grants import DRAWS, GRANT
from creditmeter.forms.labels import LABELS
from creditmeter.forms.leases import ANSWERED, AWAITED, LEASE
from creditmeter.forms.posted_charges import USED_CHARGE, draws_of, forecast_charge
from creditmeter.forms.price_lists import packed, unpacked
from creditmeter.forms.rate_cards import KEPT_CARD
from creditmeter.forms.requests import FIRST_REPLY, REQUEST, FirstReply
from creditmeter.forms.reservations import RESERVATION
from creditmeter.forms.times import KEPT_TIME
from tests.journal import things

_amounts = st.integers(0, 10**15).map(Microcredits)
_signed = st.integers(-(2**62), 2**62).map(Microcredits)
_moments = st.integers(0, 2**62).map(Instant)
_later = st.none() | _moments
_texts = st.text(max_size=20)
_names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
_kinds = st.sampled_from(GrantKind)
_sources = st.sampled_from(GrantSource)
_prices = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False)
_draws = st.builds(Draw, _names.map(GrantId), _kinds, _amounts, _amounts)
_alerts = st.builds(Alert, _amounts, st.integers(0, 100))


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Up to two of some things."""
    return st.lists(items, max_size=2).map(tuple)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    """A grant whose amounts add up."""
    remaining, drawn, refunded, lapsed, voided = (draw(_amounts) for _ in range(5))
    return Grant(
        grant_id=GrantId(draw(_names)),
        kind=draw(_kinds),
        amount=Microcredits(remaining + drawn - refunded + lapsed + voided),
        remaining=remaining,
        effective_at=draw(_moments),
        expires_at=draw(_later),
        source=draw(_sources),
        created_at=draw(_moments),
        note=draw(_texts),
        period_key=draw(st.none() | _texts),
        charge_id=draw(st.none() | _names.map(ChargeId)),
        drawn=drawn,
        refunded=refunded,
        lapsed=lapsed,
        voided=voided,
        voided_at=draw(_later),
    )


_refund_postings = st.builds(RefundPosting, _moments, _amounts, _amounts, _amounts)
_postings = st.builds(
    Posting, _moments, _amounts, _amounts, _amounts, _amounts, tuples(_draws), st.none() | _names.map(ChargeId)
)
_standings = st.builds(
    BalanceSummary,
    _moments,
    *(_signed for _ in range(5)),
    tuples(st.builds(Bucket, _kinds, _amounts, _amounts, _later)),
    tuples(grants()),
)
answers = st.builds(
    Answer,
    st.integers(0, 2**62),
    things.accounts,
    _standings,
    tuples(st.builds(LeaseTerms, _names.map(LeaseId), _moments, _moments, _amounts, _amounts)),
    st.dictionaries(_names.map(ChargeId), _postings, max_size=2),
    st.dictionaries(_names.map(RefundId), _refund_postings, max_size=2),
    *(_amounts for _ in range(4)),
    st.booleans(),
    st.integers(0, 2**40).map(Span),
)
_request_ids, _account_ids = _names.map(RequestId), _names.map(AccountId)
_updates = st.builds(
    AccountUpdate,
    plan_id=st.none() | _texts.map(PlanId),
    time_zone=st.none() | _texts,
    anchor_day=st.none() | st.integers(0, 31),
    state=st.none() | st.sampled_from(AccountState),
    overdraft_limit=st.none() | _amounts,
    max_open_reservations=st.none() | st.integers(0, 10**6),
    max_reservation=st.none() | _amounts,
    offline_allowance=st.none() | _amounts,
    alerts=st.none() | tuples(_alerts),
)
central_requests: st.SearchStrategy[CentralRequest] = st.one_of(
    st.builds(CreateAccount, _request_ids, things.accounts),
    st.builds(UpdateAccount, _request_ids, _account_ids, _updates),
    st.builds(GrantCredits, _request_ids, _account_ids, _kinds, _amounts, _later, _later, _sources, _texts),
    st.builds(VoidGrant, _request_ids, _account_ids, _names.map(GrantId)),
    things.requests.filter(lambda each: isinstance(each, RefundCharge)),
)
_periods = st.builds(Period, _texts, _moments, _moments)
kept_cards = st.builds(
    KeptCard, _texts, _texts, _moments, _moments, st.integers(0, 2**62), _texts, st.none() | st.binary(max_size=40)
)
_clauses = st.recursive(
    st.builds(Clause, st.sampled_from(Operator), _texts),
    lambda inner: st.builds(Clause, st.sampled_from(Operator), _texts, tuples(inner)),
    max_leaves=4,
)
_rates = st.builds(TextRates, *(_prices for _ in range(10)))
_text_prices = st.builds(TextPrices, _rates, tuples(st.builds(LongContext, st.integers(0, 2**53), _rates)), _prices)
_hours = st.none() | st.tuples(st.integers(0, 10**11), st.integers(0, 10**11))
_models = st.builds(Model, _texts, _clauses, tuples(st.builds(Conditional, _text_prices, _later, _hours)))
price_lists = st.builds(
    PriceList,
    _texts,
    tuples(st.builds(Provider, _texts, tuples(_models), st.none() | _clauses, st.none() | _clauses, tuples(_texts))),
)


@given(things.accounts, things.leases, things.reservations(), things.charges(), things.refunds)
def test_what_a_journal_has(account: Account, lease: Lease, held: Reservation, charge: Charge, refund: Refund) -> None:
    """Rows of things, and first replies with them."""
    assert ACCOUNT.decode(ACCOUNT.encode(account)) == account
    assert LEASE.decode(LEASE.encode(lease)) == lease
    assert RESERVATION.decode(RESERVATION.encode(held)) == held
    assert CHARGE.decode(CHARGE.encode(charge)) == charge
    assert REFUND.decode(REFUND.encode(refund)) == refund
    for reply in (FirstReply(held, charge, refund), FirstReply(None, None, None)):
        assert FIRST_REPLY.decode(FIRST_REPLY.encode(reply)) == reply


@given(things.requests, central_requests)
def test_requests(request: Request, central: CentralRequest) -> None:
    """Of each kind, at a sidecar and at the central store."""
    assert REQUEST.decode(REQUEST.name(request), REQUEST.encode(request)) == request
    assert CENTRAL_REQUEST.decode(CENTRAL_REQUEST.name(central), CENTRAL_REQUEST.encode_text(central)) == central


@given(grants(), _amounts, things.accounts, things.refunds)
def test_replies_of_the_central_store(grant: Grant, amount: Microcredits, account: Account, refund: Refund) -> None:
    """Of each type."""
    assert GRANT.decode(GRANT.encode(grant)) == grant
    for reply in (grant, Voided(grant, amount), account, refund):
        form = reply_form(type(reply))
        assert form.decode(form.encode_text(reply)) == reply


@given(answers)
def test_answers(answer: Answer) -> None:
    """With everything in them."""
    assert ANSWER.decode(ANSWER.encode_text(answer)) == answer


@given(
    tuples(_draws),
    tuples(_alerts),
    tuples(_names.map(SidecarId)),
    tuples(st.tuples(_names.map(SidecarId), _moments)),
    st.dictionaries(_texts, _texts, max_size=3),
    st.builds(CalendarChange, _moments, _periods, _periods),
    tuples(_moments),
)
def test_columns_of_the_central_store(
    draws: tuple[Draw, ...],
    alerts: tuple[Alert, ...],
    awaited: tuple[SidecarId, ...],
    answered: tuple[tuple[SidecarId, Instant], ...],
    labels: Mapping[str, str],
    change: CalendarChange,
    ahead: tuple[Instant, ...],
) -> None:
    """What stands beside other columns."""
    assert AHEAD.decode(AHEAD.encode_text(ahead)) == ahead
    assert DRAWS.decode(DRAWS.encode_text(draws)) == draws
    assert ALERTS.decode(ALERTS.encode_text(alerts)) == alerts
    assert AWAITED.decode(AWAITED.encode_text(awaited)) == awaited
    assert ANSWERED.decode(ANSWERED.encode_text(answered)) == answered
    assert LABELS.decode(LABELS.encode_text(labels)) == labels
    assert CALENDAR_CHANGE.decode(CALENDAR_CHANGE.encode_text(change)) == change


@given(st.builds(KeptTime, _texts, _signed, _signed, _signed, _signed, st.booleans(), _signed))
def test_kept_times(kept: KeptTime) -> None:
    """Of any machine."""
    assert KEPT_TIME.decode(KEPT_TIME.encode(kept)) == kept


@given(kept_cards, price_lists)
def test_rate_cards(card: KeptCard, price_list: PriceList) -> None:
    """With their documents, and the prices that they rest on."""
    assert KEPT_CARD.decode(KEPT_CARD.encode(card)) == card
    assert unpacked(packed(price_list)) == price_list


@given(things.charges(), _postings)
def test_what_a_query_reads_of_a_charge(charge: Charge, posting: Posting) -> None:
    """It is what the whole charge says."""
    body = CHARGE.encode_text(replace(charge, posting=posting))
    assert draws_of(body) == posting.draws
    used = USED_CHARGE.decode(body)
    assert (used.cost, used.cost_usd, used.committed_at) == (charge.cost, charge.cost_usd, charge.committed_at)
    assert used.labels == charge.labels
    assert [(each.model, each.counts, each.cost_usd) for each in used.priced_parts] == [
        (each.model, each.counts, each.cost_usd) for each in charge.priced_parts
    ]
    paid = used.posting
    assert (paid.covered, paid.debt, paid.uncovered) == (posting.covered, posting.debt, posting.uncovered)
    assert paid.refunded == posting.refunded
    assert [(each.kind, each.amount, each.returned) for each in paid.draws] == [
        (each.kind, each.amount, each.returned) for each in posting.draws
    ]
    counted = forecast_charge(body)
    assert (counted.cost, counted.authorized_at, counted.committed_at) == (
        charge.cost,
        charge.authorized_at,
        charge.committed_at,
    )
    assert counted.reservation_id == charge.reservation_id
    assert [(each.grant_id, each.kind, each.amount, each.returned) for each in counted.posting.draws] == [
        (each.grant_id, each.kind, each.amount, each.returned) for each in posting.draws
    ]
    assert (used.usage is None) == (counted.usage is None) == (charge.usage is None)
    if charge.usage is not None and used.usage is not None and counted.usage is not None:
        for name in ("action", "request_model", "response_model", "tool", "input_tokens", "output_tokens", "quantity"):
            assert getattr(used.usage, name) == getattr(charge.usage, name)
        assert (counted.usage.action, counted.usage.input_tokens) == (charge.usage.action, charge.usage.input_tokens)


def test_prices_keep_their_digits() -> None:
    """A price is written as it was, not as another one of the same worth."""
    written = CHARGE.encode(replace(things.charge("c"), cost_usd=Decimal("1.50")))
    assert str(CHARGE.decode(written).cost_usd) == "1.50"
