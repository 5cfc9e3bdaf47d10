"""From the core's values to the messages that callers get."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.core.amounts import Microcredits
from creditmeter.core.credit.accounts import Account, Plan
from creditmeter.core.credit.charges import Charge, PricedPart, Refund
from creditmeter.core.credit.grants import Draw, Grant, GrantKind, merged
from creditmeter.core.credit.history import Entry
from creditmeter.core.credit.holders import AccountLease, SeenSidecar
from creditmeter.core.credit.messages import Bucket
from creditmeter.core.credit.reservations import Reservation, total
from creditmeter.core.ids import AccountId, entry_id
from creditmeter.core.instants import Instant, Span
from creditmeter.core.metering.metered import interrupted
from creditmeter.core.prices.price_table import PriceLine
from creditmeter.core.prices.pricing import Quoted
from creditmeter.core.prices.rate_cards import KeptCard
from creditmeter.core.reports.usage_summary import Keys, Totals
from creditmeter.core.work import ChargeFlag, Usage, Work
from creditmeter.server.enums import number_of
from creditmeter.server.fields import MAX_TEXT
from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, grants_pb2, metering_pb2, reservations_pb2, work_pb2

_NANOSECONDS = 1_000
_MICROSECONDS = 1_000_000
MAX_INT64 = 2**63 - 1


def timestamp(moment: Instant | None) -> Timestamp | None:
    """A moment; None stays unset."""
    if moment is None:
        return None
    seconds, microseconds = divmod(moment, _MICROSECONDS)
    return Timestamp(seconds=seconds, nanos=microseconds * _NANOSECONDS)


def duration(span: Span | None) -> Duration | None:
    """A length of time, perhaps negative; None stays unset."""
    if span is None:
        return None
    made = Duration()
    made.FromMicroseconds(span)
    return made


def int64(number: int) -> int:
    """A sum, cut at the largest int64. Thousands of the largest amounts add up to more."""
    return min(number, MAX_INT64)


def work_message(work: Work) -> work_pb2.Work:
    """The work of a reservation."""
    return work_pb2.Work(
        action=work.action,
        provider=work.provider,
        request_model=work.request_model,
        input_tokens=work.input_tokens,
        max_output_tokens=work.max_output_tokens,
        quantity=work.quantity,
        variant=work.variant,
        tool=work.tool,
        service_tier=work.service_tier,
        cache_creation_input_tokens=work.cache_creation_input_tokens,
        cache_creation_1h_input_tokens=work.cache_creation_1h_input_tokens,
        units=work.units,
        audio_input_tokens=work.audio_input_tokens,
        image_input_tokens=work.image_input_tokens,
    )


def usage_message(usage: Usage) -> work_pb2.Usage:
    """The usage of a charge. An unknown count stays unset."""
    return work_pb2.Usage(
        action=usage.action,
        provider=usage.provider,
        request_model=usage.request_model,
        response_model=usage.response_model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_creation_1h_input_tokens=usage.cache_creation_1h_input_tokens,
        reasoning_output_tokens=usage.reasoning_output_tokens,
        audio_input_tokens=usage.audio_input_tokens,
        audio_output_tokens=usage.audio_output_tokens,
        image_input_tokens=usage.image_input_tokens,
        image_output_tokens=usage.image_output_tokens,
        quantity=usage.quantity,
        variant=usage.variant,
        tool=usage.tool,
        response_id=usage.response_id,
        source=number_of(work_pb2.UsageSource, usage.source),
        provider_usage_json=usage.provider_usage_json,
        units=usage.units,
        service_tier=usage.served.service_tier,
        speed=usage.served.speed,
        region=usage.served.region,
        search_type=usage.served.search_type,
    )


def reservation_message(reservation: Reservation) -> reservations_pb2.Reservation:
    """A reservation. What is empty is left out, since an empty container takes longer to write than all numbers together."""
    progress = None if reservation.metered is None else reservation.metered.progress
    return reservations_pb2.Reservation(
        reservation_id=reservation.reservation_id,
        account_id=reservation.account_id,
        state=number_of(reservations_pb2.ReservationState, reservation.state),
        held_microcredits=reservation.held,
        charged_microcredits=int64(reservation.charged),
        charge_ids=reservation.charge_ids or None,
        max_output_tokens=reservation.max_output_tokens or 0,
        created_at=timestamp(reservation.created_at),
        expires_at=timestamp(reservation.expires_at),
        rate_card_version=reservation.rate_card_version,
        labels=reservation.labels or None,
        work=work_message(reservation.work) if reservation.work else None,
        progress=usage_message(interrupted(progress)) if progress is not None and not reservation.has_ended else None,
    )


def charge_message(charge: Charge) -> charges_pb2.Charge:
    """A charge. Until it is posted, the amount that leases cover counts as covered, and there are no draws."""
    posting = charge.posting
    flags = charge.flags
    if posting is not None and posting.duplicate_of is not None:
        flags = (*flags, ChargeFlag.DUPLICATE)
    return charges_pb2.Charge(
        charge_id=charge.charge_id,
        reservation_id=charge.reservation_id or "",
        account_id=charge.account_id,
        request_id=charge.request_id,
        cost_microcredits=charge.cost,
        covered_microcredits=posting.covered if posting else total(charge.parts),
        uncovered_microcredits=posting.uncovered if posting else 0,
        refunded_microcredits=posting.refunded if posting else 0,
        debt_microcredits=posting.debt if posting else 0,
        exact_credits=f"{charge.exact_credits:f}",
        cost_usd=f"{charge.cost_usd:f}",
        late=charge.late,
        flags=[number_of(charges_pb2.ChargeFlag, flag) for flag in flags] or None,
        action=charge.action,
        usage=usage_message(charge.usage) if charge.usage else None,
        labels=charge.labels or None,
        rate_card_version=charge.rate_card_version,
        authorized_at=timestamp(charge.authorized_at),
        committed_at=timestamp(charge.committed_at),
        posted_at=timestamp(posting.posted_at) if posting else None,
        draws=[draw_message(draw) for draw in merged(posting.draws)] if posting else None,
        duplicate_of_charge_id=(posting.duplicate_of or "") if posting else "",
        parts=[charge_part_message(part) for part in charge.priced_parts] or None,
        unread=charge.unread,
        reported_cost_usd="" if charge.reported_cost_usd is None else f"{charge.reported_cost_usd:f}",
    )


def charge_part_message(part: PricedPart) -> charges_pb2.ChargePart:
    """A response of a call, priced by itself."""
    return charges_pb2.ChargePart(
        response_id=part.response_id,
        model=part.model,
        service_tier=part.service_tier,
        usage=work_pb2.Usage(**part.counts, units=part.units),  # type: ignore[arg-type]  # all are ints
        cost_usd=f"{part.cost_usd:f}",
        flags=[number_of(charges_pb2.ChargeFlag, flag) for flag in part.flags],
    )


def draw_message(draw: Draw) -> charges_pb2.Draw:
    """A draw on a grant."""
    return charges_pb2.Draw(
        grant_id=draw.grant_id,
        kind=number_of(grants_pb2.GrantKind, draw.kind),
        amount_microcredits=draw.amount,
    )


def refund_message(refund: Refund) -> charges_pb2.Refund:
    """A refund."""
    posting = refund.posting
    return charges_pb2.Refund(
        refund_id=refund.refund_id,
        charge_id=refund.charge_id,
        amount_microcredits=refund.amount,
        restored_microcredits=posting.restored if posting else 0,
        lapsed_microcredits=posting.lapsed if posting else 0,
        posted_at=timestamp(posting.posted_at) if posting else None,
        mode=number_of(charges_pb2.RefundMode, refund.mode),
        reason=refund.reason,
        never_paid_microcredits=posting.never_paid if posting else 0,
    )


def grant_message(account_id: AccountId, grant: Grant) -> grants_pb2.Grant:
    """A grant. The note of a goodwill grant begins with the id of its charge, and is cut at the longest note allowed."""
    note = grant.note
    if grant.charge_id is not None:
        note = f"{grant.charge_id}: {note}" if note else grant.charge_id
    return grants_pb2.Grant(
        grant_id=grant.grant_id,
        account_id=account_id,
        kind=number_of(grants_pb2.GrantKind, grant.kind),
        amount_microcredits=grant.amount,
        remaining_microcredits=grant.remaining,
        effective_at=timestamp(grant.effective_at),
        expires_at=timestamp(grant.expires_at),
        source=number_of(grants_pb2.GrantSource, grant.source),
        note=note[:MAX_TEXT],
        created_at=timestamp(grant.created_at),
        voided_at=timestamp(grant.voided_at),
    )


def plan_message(plan: Plan) -> grants_pb2.Plan:
    """A plan."""
    return grants_pb2.Plan(plan_id=plan.plan_id, daily_microcredits=plan.daily, monthly_microcredits=plan.monthly)


def quote_message(quoted: Quoted, available: Microcredits | None) -> metering_pb2.WorkQuote:
    """The price of work and, with an account's available microcredits, whether they pay for it."""
    return metering_pb2.WorkQuote(
        min_microcredits=quoted.least,
        max_microcredits=quoted.most,
        rate_card_version=quoted.rate_card_version,
        affordable=available is not None and quoted.most <= available,
        affordable_output_tokens=quoted.affordable_output_tokens if available is not None else 0,
    )


def price_message(line: PriceLine) -> account_pb2.ModelPrice:
    """What one model, tool or action costs."""
    position = line.position
    return account_pb2.ModelPrice(
        action=position.action,
        provider=position.provider,
        model=position.model,
        variant=position.variant,
        tool=position.tool,
        tier=account_pb2.MODEL_TIER_HIGHER_COST if line.is_higher_cost else account_pb2.MODEL_TIER_STANDARD,
        typical_microcredits=line.typical,
        unit_prices=[
            account_pb2.UnitPrice(
                unit=number_of(account_pb2.PriceUnit, each.unit),
                unit_count=each.count,
                above_input_tokens=each.above_input_tokens,
                amount_microcredits=each.amount,
            )
            for each in line.units
        ],
        cost_basis=number_of(account_pb2.CostBasis, line.basis),
    )


def rate_card_message(card: KeptCard, document: str) -> admin_pb2.RateCard:
    """A rate card, with its document or without it."""
    return admin_pb2.RateCard(
        version=card.version,
        effective_from=timestamp(card.effective_from),
        published_at=timestamp(card.published_at) if card.number else None,
        document=document,
    )


def bucket_message(bucket: Bucket) -> account_pb2.Bucket:
    """The sums of all grants of one kind."""
    return account_pb2.Bucket(
        kind=number_of(grants_pb2.GrantKind, bucket.kind),
        granted_microcredits=int64(bucket.granted),
        remaining_microcredits=bucket.remaining,
        next_reset_at=timestamp(bucket.next_reset_at),
    )


def past_bucket_message(kind: GrantKind, left: int) -> account_pb2.PastBucket:
    """What was left of all grants of one kind."""
    return account_pb2.PastBucket(kind=number_of(grants_pb2.GrantKind, kind), remaining_microcredits=int64(left))


def account_message(account: Account) -> admin_pb2.Account:
    """The terms of an account."""
    alerts = [
        admin_pb2.Alert(percent=each.percent) if each.percent else admin_pb2.Alert(amount_microcredits=each.amount)
        for each in account.alerts
    ]
    return admin_pb2.Account(
        account_id=account.account_id,
        plan_id=account.plan_id or "",
        time_zone=account.time_zone,
        anchor_day=account.anchor_day,
        state=number_of(admin_pb2.AccountState, account.state),
        overdraft_limit_microcredits=account.overdraft_limit,
        max_open_reservations=account.max_open_reservations,
        max_reservation_microcredits=account.max_reservation,
        offline_allowance_microcredits=account.offline_allowance,
        alerts=alerts,
        created_at=timestamp(account.created_at),
    )


def sidecar_message(sidecar: SeenSidecar) -> admin_pb2.Sidecar:
    """A sidecar, by what the central store knows of it."""
    return admin_pb2.Sidecar(
        sidecar_id=sidecar.sidecar_id,
        epoch=sidecar.epoch,
        state=number_of(admin_pb2.SidecarState, sidecar.state),
        registered_at=timestamp(sidecar.registered_at),
        last_seen_at=timestamp(sidecar.last_seen_at),
        lease_count=sidecar.leases,
        leased_microcredits=int64(sidecar.out),
        held_microcredits=int64(sidecar.held),
        unposted_microcredits=int64(sidecar.unposted),
    )


def lease_message(found: AccountLease) -> admin_pb2.Lease:
    """A lease, by what the central store knows of it."""
    lease = found.lease
    return admin_pb2.Lease(
        lease_id=lease.lease_id,
        account_id=found.account_id,
        sidecar_id=lease.sidecar_id,
        out_microcredits=lease.out,
        held_microcredits=lease.held,
        unposted_microcredits=lease.unposted,
        opened_at=timestamp(lease.opened_at),
        renewed_at=timestamp(lease.renewed_at),
        ttl_ends_at=timestamp(lease.trusted_until),
        ends_at=timestamp(lease.ends_at),
        reclaim_at=timestamp(lease.reclaim_at),
    )


def entry_message(account_id: AccountId, entry: Entry) -> account_pb2.HistoryEntry:
    """A line of history."""
    return account_pb2.HistoryEntry(
        entry_id=entry_id(account_id, entry.number),
        type=number_of(account_pb2.HistoryType, entry.type),
        amount_microcredits=entry.amount,
        balance_after_microcredits=entry.balance_after,
        kind=number_of(grants_pb2.GrantKind, entry.kind),
        grant_id=entry.grant_id or "",
        charge_id=entry.charge_id or "",
        refund_id=entry.refund_id or "",
        draws=[draw_message(draw) for draw in merged(entry.draws)],
        action=entry.action,
        model=entry.model,
        tool=entry.tool,
        quantity=entry.quantity,
        labels=entry.labels,
        rate_card_version=entry.rate_card_version,
        occurred_at=timestamp(entry.occurred_at),
        posted_at=timestamp(entry.posted_at),
        note=entry.note,
    )


def usage_group_message(keys: Keys, totals: Totals) -> account_pb2.UsageGroup:
    """A group of a summary of usage, with its sums."""
    return account_pb2.UsageGroup(keys=keys, totals=usage_totals_message(totals))


def usage_totals_message(totals: Totals) -> account_pb2.UsageTotals:
    """Sums over charges."""
    return account_pb2.UsageTotals(
        charge_count=totals.charges,
        cost_microcredits=int64(totals.cost),
        covered_microcredits=int64(totals.covered),
        debt_microcredits=int64(totals.debt),
        uncovered_microcredits=int64(totals.uncovered),
        refunded_microcredits=int64(totals.refunded),
        cost_usd=f"{totals.cost_usd:f}",
        input_tokens=int64(totals.input_tokens),
        output_tokens=int64(totals.output_tokens),
        quantity=int64(totals.quantity),
    )
