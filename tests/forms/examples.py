"""One value of every kind that is stored, none of whose fields has its default, and the form that writes it.

The body of each is a file of the folder `1`, which has the name of the form's number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from creditmeter.core.amounts import Microcredits
from creditmeter.core.awaited import Awaited
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
from creditmeter.core.credit.charges import Charge, Part, Posting, PricedPart, Refund, RefundMode, RefundPosting, StandIn
from creditmeter.core.credit.grants import Draw, Grant, GrantKind, GrantSource
from creditmeter.core.credit.leases import Lease
from creditmeter.core.credit.messages import Answer, BalanceSummary, Bucket, LeaseTerms
from creditmeter.core.credit.requests import ChargeNow, Commit, Extend, Receipt, RefundCharge, Release, Reserve
from creditmeter.core.credit.reservations import MeteredCall, Reservation, ReservationState
from creditmeter.core.credit.schedule import CalendarChange
from creditmeter.core.ids import (
    AccountId,
    ChargeId,
    GrantId,
    LeaseId,
    PlanId,
    RefundId,
    RequestId,
    ReservationId,
    SidecarId,
)
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.book import Change
from creditmeter.core.metering.spending import Spent
from creditmeter.core.prices.price_list import Clause, Conditional, Model, Operator, PriceList, Provider, Variant
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.core.prices.rates import LongContext, TextPrices, TextRates
from creditmeter.core.values import replace
from creditmeter.core.work import ChargeFlag, Served, Usage, UsageSource, Work
from creditmeter.forms.accounts import ACCOUNT, AHEAD, ALERTS, CALENDAR_CHANGE
from creditmeter.forms.administration import CENTRAL_REQUEST
from creditmeter.forms.answers import ANSWER
from creditmeter.forms.body import Form, Kinds
from creditmeter.forms.changes import ChargeUpdate, ChargeUpdateForm, Logged, decode_change, encode_change
from creditmeter.forms.charges import CHARGE, REFUND
from creditmeter.forms.grants import DRAWS, GRANT, VOIDED
from creditmeter.forms.labels import LABELS
from creditmeter.forms.leases import ANSWERED as ANSWERED_BY
from creditmeter.forms.leases import AWAITED, LEASE
from creditmeter.forms.price_lists import PRICE_LIST
from creditmeter.forms.rate_cards import KEPT_CARD
from creditmeter.forms.requests import FIRST_REPLY, REQUEST, FirstReply
from creditmeter.forms.reservations import RESERVATION
from creditmeter.forms.spending import SPENT
from creditmeter.forms.times import KEPT_TIME

NOON = 1_773_144_000_000_000


def at(second: int) -> Instant:
    """A moment that no other field of an example has."""
    return Instant(NOON + second)


def mc(amount: int) -> Microcredits:
    """Some microcredits."""
    return Microcredits(amount)


WORK = Work(
    *("text", "acme-ai", "model-a", 11, 12, 13, "large", "web_search", "flex"),
    cache_creation_input_tokens=34,
    cache_creation_1h_input_tokens=35,
    units={"web_searches": 36},
    audio_input_tokens=37,
    image_input_tokens=38,
)
USAGE = Usage(
    action="text",
    provider="acme-ai",
    request_model="model-a",
    response_model="model-a-2026",
    input_tokens=21,
    output_tokens=22,
    cache_read_input_tokens=23,
    cache_creation_input_tokens=24,
    cache_creation_1h_input_tokens=25,
    reasoning_output_tokens=26,
    audio_input_tokens=27,
    audio_output_tokens=28,
    image_input_tokens=29,
    image_output_tokens=30,
    quantity=31,
    variant="large",
    tool="web_search",
    response_id="resp-1",
    source=UsageSource.PARTIAL_STREAM,
    provider_usage_json='{"a": "é"}',
    units={"web_searches": 32, "cached_audio_input_tokens": 33},
    served=Served("flex", "fast", "us", "web"),
)
LABELLED = {"job": "nightly", "ключ": '"'}
PARTS = (Part(LeaseId("lease-1"), mc(40), at(1)), Part(LeaseId("lease-2"), mc(2), at(2)))
DRAWN = (
    Draw(GrantId("grant-d"), GrantKind.DAILY, mc(30), mc(3)),
    Draw(GrantId("grant-m"), GrantKind.MONTHLY, mc(4), mc(2)),
    Draw(GrantId("grant-p"), GrantKind.PERMANENT, mc(1), mc(1)),
)
POSTING = Posting(at(3), mc(35), mc(9), mc(5), mc(6), DRAWN, ChargeId("charge-0"))
CHARGED = Charge(
    charge_id=ChargeId("charge-1"),
    account_id=AccountId("acme"),
    request_id=RequestId("request-1"),
    reservation_id=ReservationId("reservation-1"),
    commit_number=2,
    cost=mc(49),
    parts=PARTS,
    excess=mc(7),
    exact_credits=Decimal("0.0000490123"),
    cost_usd=Decimal("4.9E-7"),
    usage=USAGE,
    rate_card_version="card-1+genai-prices.0.0.1",
    authorized_at=at(4),
    committed_at=at(5),
    late=True,
    flags=tuple(ChargeFlag),
    labels=LABELLED,
    sent=True,
    posting=POSTING,
    priced_parts=(
        PricedPart("resp-1", "model-a", "flex", {"input_tokens": 21}, {"web_searches": 32}, Decimal("4E-7"), tuple(ChargeFlag)),
        PricedPart(
            "resp-2",
            "model-b",
            "priority",
            {"output_tokens": 22},
            {"web_searches": 1},
            Decimal("9E-8"),
            tuple(ChargeFlag),
            "fast",
            "us",
            "web",
            Decimal("8E-8"),
        ),
    ),
    unread=("usage.quantum_tokens", "usage.ключ_tokens"),
    reported_cost_usd=Decimal("5.1E-7"),
    priced_at=at(41),
    stand_in=StandIn("acme-ai", "model-c", "small"),
    credential_id="k7m2abcd",
)
REFUNDED = Refund(
    refund_id=RefundId("refund-1"),
    charge_id=ChargeId("charge-1"),
    account_id=AccountId("acme"),
    request_id=RequestId("request-2"),
    amount=mc(6),
    mode=RefundMode.GOODWILL,
    reason="too slow",
    refunded_at=at(6),
    posting=RefundPosting(at(7), mc(3), mc(2), mc(1)),
)
HELD = Reservation(
    reservation_id=ReservationId("reservation-1"),
    account_id=AccountId("acme"),
    request_id=RequestId("request-3"),
    state=ReservationState.HELD,
    parts=PARTS,
    created_at=at(8),
    expires_at=at(9),
    rate_card_version="card-1",
    work=WORK,
    labels=LABELLED,
    charged=mc(49),
    charge_ids=(ChargeId("charge-1"), ChargeId("charge-2")),
    max_output_tokens=12,
    ended_at=at(10),
    release_reason="not needed",
    metered=MeteredCall(USAGE),
    credential_id="k7m2abcd",
)
AGREED = Account(
    account_id=AccountId("acme"),
    created_at=at(11),
    plan_id=PlanId("basic"),
    time_zone="Africa/Cairo",
    anchor_day=15,
    state=AccountState.SUSPENDED,
    overdraft_limit=mc(51),
    max_open_reservations=52,
    max_reservation=mc(53),
    offline_allowance=mc(54),
    alerts=(Alert(mc(55)), Alert(percent=10)),
)
GIVEN = Grant(
    grant_id=GrantId("grant-d"),
    kind=GrantKind.DAILY,
    amount=mc(100),
    remaining=mc(60),
    effective_at=at(12),
    expires_at=at(13),
    source=GrantSource.REFERRAL,
    created_at=at(14),
    note="for a friend",
    period_key="2026-03-10",
    charge_id=ChargeId("charge-1"),
    drawn=mc(35),
    refunded=mc(6),
    lapsed=mc(8),
    voided=mc(3),
    voided_at=at(15),
)
LEASED = Lease(LeaseId("lease-1"), AccountId("acme"), at(16), at(17), mc(61), mc(62), offline=True, trusted_until=Span(63))
ANSWERED = Answer(
    seq=71,
    account=AGREED,
    balance=BalanceSummary(
        as_of=at(18),
        available=mc(72),
        held=mc(73),
        unposted=mc(74),
        leased=mc(75),
        debt=mc(76),
        buckets=(Bucket(GrantKind.DAILY, mc(77), mc(78), at(19)), Bucket(GrantKind.PERMANENT, mc(79), mc(80), None)),
        grants=(GIVEN,),
    ),
    leases=(LeaseTerms(LeaseId("lease-1"), at(20), at(21), mc(81), mc(82)),),
    postings={ChargeId("charge-1"): POSTING},
    refund_postings={RefundId("refund-1"): RefundPosting(at(22), mc(83), mc(84), mc(85))},
    granted=mc(86),
    short=mc(87),
    free=mc(88),
    elsewhere=mc(89),
    is_pending=True,
    pending_for=Span(90),
    asked_at=at(91),
    heard_since=at(92),
    awaited=(Awaited(SidecarId("sidecar-3"), mc(96), at(25)),),
)
UPDATED = AccountUpdate(
    plan_id=PlanId("other"),
    time_zone="UTC",
    anchor_day=3,
    state=AccountState.CLOSED,
    overdraft_limit=mc(91),
    max_open_reservations=92,
    max_reservation=mc(93),
    offline_allowance=mc(94),
    alerts=(Alert(mc(95)),),
)
RATES = TextRates(*(Decimal(f"0.{each}") for each in range(101, 111)), rare={"cached_audio": Decimal("0.111")})
OTHER_RATES = TextRates(*(Decimal(f"1E+{each}") for each in range(1, 11)))
PRICES = TextPrices(RATES, (LongContext(200_000, OTHER_RATES),), Decimal("0.007"), {"web_searches": Decimal(10)})
LISTED = PriceList(
    "genai-prices.0.0.1",
    (
        Provider(
            provider="acme-ai",
            models=(
                Model(
                    model="model-a",
                    match=Clause(Operator.ANY, "", tuple(Clause(each, f"text of {each.value}") for each in Operator)),
                    prices=(Conditional(PRICES, at(23), (1, 2)),),
                    variants=(Variant("service_tier", "flex", (Conditional(PRICES),)),),
                ),
            ),
            matches_provider=Clause(Operator.CONTAINS, "acme"),
            matches_model=Clause(Operator.STARTS_WITH, "model-"),
            resells=("other-ai",),
        ),
    ),
)
CARD = KeptCard("card-1+genai-prices.0.0.1", "card-1", at(24), at(25), 3, 'version = "card-1"', b"\x00packed\xff")


@dataclass(frozen=True, slots=True)
class Example:
    """A value, the class that it has in a body, how the body is written, and how it is read."""

    value: Any
    stored: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _example(form: Form[Any], value: Any) -> Example:
    return Example(value, form._stored, form.encode, form.decode)


def _kind(kinds: Kinds[Any], name: str, value: Any) -> Example:
    return Example(value, kinds._forms[name]._stored, kinds.encode, lambda body: kinds.decode(name, body))


RESERVE = Reserve(
    RequestId("r-1"), AccountId("acme"), WORK, mc(111), Span(112), allow_partial=True, labels=LABELLED, is_metered=True
)
CHANGED = Change(
    AccountId("acme"),
    reservations=(HELD,),
    charges=(CHARGED,),
    refunds=(REFUNDED,),
    leases=(LEASED,),
    receipts=(
        Receipt(RESERVE, HELD),
        Receipt(Commit(RequestId("r-3"), ReservationId("res-1"), USAGE), HELD, CHARGED),
        Receipt(RefundCharge(RequestId("r-6"), ChargeId("charge-1")), refund=replace(REFUNDED, posting=None)),
    ),
    account=AGREED,
)


def _encoded_change(logged: Logged) -> bytes:
    """The record of a change and of what is new of charges."""
    updated = tuple(replace(CHARGED, charge_id=each.charge_id, sent=each.sent, posting=each.posting) for each in logged.updates)
    known = {each.charge_id for each in updated}
    return encode_change(replace(logged.change, charges=logged.change.charges + updated), known)


EXAMPLES: dict[str, Example] = {
    "account": _example(ACCOUNT, AGREED),
    "ahead": _example(AHEAD, (at(95), at(97))),
    "alerts": _example(ALERTS, AGREED.alerts),
    "answer": _example(ANSWER, ANSWERED),
    "answered": _example(ANSWERED_BY, ((SidecarId("s1"), at(93)), (SidecarId("s2"), at(94)))),
    "awaited": _example(AWAITED, (SidecarId("s1"), SidecarId("s2"))),
    "calendar_change": _example(
        CALENDAR_CHANGE,
        CalendarChange(at(26), Period("2026-03-10", at(27), at(28)), Period("2026-03-01", at(29), at(30))),
    ),
    "change": Example(
        Logged(CHANGED, (ChargeUpdate(ChargeId("charge-2"), sent=True, posting=CHARGED.posting),)),
        ChargeUpdateForm,
        _encoded_change,
        lambda body: decode_change(AccountId("acme"), body),
    ),
    "charge": _example(CHARGE, CHARGED),
    "draws": _example(DRAWS, DRAWN),
    "first_reply": _example(FIRST_REPLY, FirstReply(HELD, CHARGED, REFUNDED)),
    "grant": _example(GRANT, GIVEN),
    "kept_time": _example(
        KEPT_TIME, KeptTime("run", 119, Span(120), Span(121), Span(122), is_stores=False, own_steps=Span(123))
    ),
    "labels": _example(LABELS, LABELLED),
    "lease": _example(LEASE, LEASED),
    "price_list": _example(PRICE_LIST, LISTED),
    "rate_card": _example(KEPT_CARD, CARD),
    "refund": _example(REFUND, REFUNDED),
    "reservation": _example(RESERVATION, HELD),
    "spent": _example(SPENT, Spent({20_454: {"k7m2abcd": 124}})),
    "voided": _example(VOIDED, Voided(GIVEN, mc(3))),
    "Reserve": _kind(REQUEST, "Reserve", RESERVE),
    "Extend": _kind(REQUEST, "Extend", Extend(RequestId("r-2"), ReservationId("res-1"), WORK, mc(113), Span(114))),
    "Commit": _kind(REQUEST, "Commit", Commit(RequestId("r-3"), ReservationId("res-1"), USAGE, mc(115), keep_open=True)),
    "Release": _kind(REQUEST, "Release", Release(RequestId("r-4"), ReservationId("res-1"), "not needed")),
    "ChargeNow": _kind(
        REQUEST,
        "ChargeNow",
        ChargeNow(RequestId("r-5"), AccountId("acme"), USAGE, mc(116), already_incurred=True, labels=LABELLED),
    ),
    "RefundCharge": _kind(
        REQUEST, "RefundCharge", RefundCharge(RequestId("r-6"), ChargeId("charge-1"), mc(117), RefundMode.GOODWILL, "slow")
    ),
    "CreateAccount": _kind(CENTRAL_REQUEST, "CreateAccount", CreateAccount(RequestId("r-7"), AGREED)),
    "UpdateAccount": _kind(CENTRAL_REQUEST, "UpdateAccount", UpdateAccount(RequestId("r-8"), AccountId("acme"), UPDATED)),
    "GrantCredits": _kind(
        CENTRAL_REQUEST,
        "GrantCredits",
        GrantCredits(
            RequestId("r-9"),
            AccountId("acme"),
            GrantKind.MONTHLY,
            mc(118),
            at(31),
            at(32),
            GrantSource.GOODWILL,
            "sorry",
        ),
    ),
    "VoidGrant": _kind(CENTRAL_REQUEST, "VoidGrant", VoidGrant(RequestId("r-10"), AccountId("acme"), GrantId("grant-d"))),
}
