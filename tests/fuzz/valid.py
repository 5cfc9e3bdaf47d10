"""Requests as callers make them: of each RPC one that is mostly in order, so that calls get deep.

Accounts of `LASTING` stay open and have credit. Those of `PASSING` may be suspended, closed or missing.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from creditmeter.v1 import account_pb2, admin_pb2, charges_pb2, grants_pb2, metering_pb2, reservations_pb2, work_pb2
from tests.fuzz.contract import RPCS, Rpc
from tests.fuzz.known import Known
from tests.fuzz.values import CARD, a_report

CREDIT = 1_000_000
LASTING = [f"lasting-{number}" for number in range(6)]
PASSING = [f"passing-{number}" for number in range(40)]
CARDS = 3
"""Versions of rate cards: a sidecar keeps the prices of each that is still to come, some megabytes."""

PLANS = ["free", "pro", "none"]
MODELS = ["gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash", "gpt-image-1", "no-such-model", "openai/gpt-4o", ""]
PROVIDERS = ["openai", "anthropic", "google", "openrouter", "", "aws.bedrock"]
_UNITS = ["web_searches", "seconds", "searches", "characters"]
_LABELS = ["feature", "team", "user"]
_SERVICES = ["", "creditmeter.v1.MeteringService", "creditmeter.central", "no.such.Service"]
_ZONES = ["UTC", "Europe/Berlin", "Africa/Cairo", "Asia/Kathmandu"]
_KEPT_CHANGES = ("max_open_reservations", "offline_allowance_microcredits", "alerts")


class Valid:
    """Makes requests with the numbers of one random generator. `run` tells the request ids of one run from those of others,
    and `now` is in seconds since 1970.
    """

    def __init__(self, random: Random, known: Known, run: str, now: int) -> None:
        self._random = random
        self._known = known
        self._run = run
        self._now = now

    def request(self, rpc: Rpc) -> Any:
        """A request of an RPC, or a message of its stream."""
        if self._random.random() < 0.3 and (page := self._known.a_page(self._random, rpc)) is not None:
            return page
        name = rpc.name.partition("/")[2]
        made = _MADE.get(name)
        return rpc.request() if made is None else made(self)

    def account_id(self) -> str:
        """Mostly one that lasts."""
        return self._random.choice(LASTING if self._random.random() < 0.8 else [*PASSING, "nobody", "team-a"])

    def request_id(self) -> str:
        """Mostly a new one."""
        if self._random.random() < 0.1:
            return f"again-{self._random.randrange(30)}"
        return f"{self._run}-{self._random.getrandbits(48):x}"

    def an_id(self, kind: str) -> str:
        """One of something that exists."""
        return self._known.an_id(self._random, kind)

    def amount(self) -> int:
        """Mostly less than accounts have."""
        return self._random.choice([1, 10, CREDIT // 3, CREDIT, 2 * CREDIT, 5 * CREDIT, 200_000 * CREDIT])

    def seconds(self, most: int) -> Duration:
        """Short."""
        return Duration(seconds=self._random.randint(1, most), nanos=self._random.choice([0, 1, 500_000_000]))

    def moment(self) -> Timestamp:
        """In the past, or in the next years."""
        return Timestamp(seconds=self._now + self._random.choice([-(10**8), -100_000, -3_600, 0, 3_600, 10**6, 10**8]))

    def may_be(self, chance: float, value: Any) -> Any:
        """The value, or None, which leaves a field out."""
        return value if self._random.random() < chance else None

    def labels(self) -> dict[str, str]:
        """A few."""
        return {self._random.choice(_LABELS): f"v{self._random.randrange(5)}" for _ in range(self._random.randrange(3))}

    def units(self) -> dict[str, int]:
        """At most two."""
        return {self._random.choice(_UNITS): self._random.randrange(100) for _ in range(self._random.choice([0, 0, 0, 1, 2]))}

    def work(self) -> work_pb2.Work:
        """Of any action."""
        action = self._random.choice(
            ["text", "text", "text", "image", "tool", "engagement", "directory_submission", "view", "edit"]
        )
        return work_pb2.Work(
            action=action,
            provider=self.choice(PROVIDERS),
            request_model=self.choice(MODELS[:4] if action == "text" and self._random.random() < 0.8 else MODELS),
            input_tokens=self.may_be(0.9, self._random.randrange(5_000)) if action == "text" else None,
            max_output_tokens=self.may_be(0.8, self._random.randrange(1, 2_000)) if action == "text" else None,
            quantity=self.may_be(0.3, self._random.randrange(1, 10)) if action != "text" else None,
            variant=self.choice(["", "", "1024x1024:high"]),
            tool="web_search" if action == "tool" else "",
            units=self.units(),
        )

    def usage(self) -> work_pb2.Usage:
        """Of any action, in counts or as its provider reported it."""
        random, work = self._random, self.work()
        usage = work_pb2.Usage(action=work.action, provider=work.provider, request_model=work.request_model, tool=work.tool)
        usage.units.update(work.units)
        if work.action == "text" and random.random() < 0.4:
            usage.provider_usage_json = a_report(random)
        elif work.action == "text":
            usage.input_tokens, usage.output_tokens = random.randrange(5_000), random.randrange(2_000)
            if random.random() < 0.3:
                usage.cache_read_input_tokens = random.randrange(6_000)
                usage.reasoning_output_tokens = random.randrange(3_000)
        elif work.HasField("quantity"):
            usage.quantity = work.quantity
        usage.response_model = self.choice(["", "", *MODELS])
        usage.source = random.choice([0, 1, 2, 3])  # type: ignore[assignment]  # a number is a value of an enum
        return usage

    def choice(self, values: list[Any]) -> Any:
        """One of them."""
        return self._random.choice(values)

    def account(self, account_id: str) -> admin_pb2.Account:
        """One with some settings."""
        alert = (
            admin_pb2.Alert(percent=self._random.randint(1, 100))
            if self._random.random() < 0.5
            else admin_pb2.Alert(amount_microcredits=CREDIT)
        )
        return admin_pb2.Account(
            account_id=account_id,
            plan_id=self.may_be(0.5, self.choice(PLANS)),
            time_zone=self.may_be(0.3, self.choice(_ZONES)),
            anchor_day=self.may_be(0.2, self._random.randint(0, 31)),
            state=self.choice([0, 0, 1, 2, 3]),
            overdraft_limit_microcredits=self.may_be(0.3, self.amount()),
            max_open_reservations=self.may_be(0.3, self._random.randint(100, 1_000)),
            max_reservation_microcredits=self.may_be(0.2, 10_000 * CREDIT),
            offline_allowance_microcredits=self.may_be(0.3, CREDIT),
            alerts=[alert] * self._random.choice([0, 0, 1]),
        )


def _reserve(make: Valid) -> metering_pb2.ReserveRequest:
    request = metering_pb2.ReserveRequest(
        request_id=make.request_id(),
        account_id=make.account_id(),
        ttl=make.may_be(0.95, make.seconds(3)),
        allow_partial=make.may_be(0.3, True),
        labels=make.labels(),
        wait=make.may_be(0.2, make.seconds(1)),
    )
    _bind(make, request)
    return request


def _bind(make: Valid, request: Any) -> None:
    if make.choice([True, False]):
        request.work.CopyFrom(make.work())
    else:
        request.amount_microcredits = make.amount()


def _cost(make: Valid, request: Any) -> None:
    if make.choice([True, False]):
        request.usage.CopyFrom(make.usage())
    else:
        request.amount_microcredits = make.amount()


def _extend(make: Valid) -> metering_pb2.ExtendRequest:
    request = metering_pb2.ExtendRequest(
        request_id=make.request_id(), reservation_id=make.an_id("reservation_id"), ttl=make.may_be(0.7, make.seconds(3))
    )
    _bind(make, request)
    return request


def _commit(make: Valid) -> metering_pb2.CommitRequest:
    request = metering_pb2.CommitRequest(
        request_id=make.request_id(), reservation_id=make.an_id("reservation_id"), keep_open=make.may_be(0.3, True)
    )
    _cost(make, request)
    return request


def _release(make: Valid) -> metering_pb2.ReleaseRequest:
    return metering_pb2.ReleaseRequest(
        request_id=make.request_id(), reservation_id=make.an_id("reservation_id"), reason=make.choice(["", "failed"])
    )


def _charge(make: Valid) -> metering_pb2.ChargeRequest:
    request = metering_pb2.ChargeRequest(
        request_id=make.request_id(),
        account_id=make.account_id(),
        already_incurred=make.may_be(0.3, True),
        labels=make.labels(),
        wait=make.may_be(0.2, make.seconds(1)),
    )
    _cost(make, request)
    return request


def _refund(make: Valid) -> metering_pb2.RefundRequest:
    return metering_pb2.RefundRequest(
        request_id=make.request_id(),
        charge_id=make.an_id("charge_id"),
        amount_microcredits=make.may_be(0.8, make.choice([1, 10, CREDIT])),
        mode=make.choice(list(charges_pb2.RefundMode.values())),
        reason=make.choice(["", "failed"]),
    )


_MUTATIONS: Mapping[str, Callable[[Valid], Message]] = {
    "reserve": _reserve,
    "extend": _extend,
    "commit": _commit,
    "release": _release,
    "charge": _charge,
    "refund": _refund,
}


def _mutations(make: Valid) -> list[metering_pb2.Mutation]:
    kinds = [make.choice(list(_MUTATIONS)) for _ in range(make.choice([0, 1, 2, 5, 20]))]
    return [metering_pb2.Mutation(**{kind: _MUTATIONS[kind](make)}) for kind in kinds]  # type: ignore[arg-type]  # by name


def _meter(make: Valid) -> metering_pb2.MeterRequest:
    step = make.choice(["open", "progress", "progress", "finish"])
    return METER_STEPS[step](make)


def _meter_finish(make: Valid) -> metering_pb2.MeterRequest:
    finish = metering_pb2.MeterFinish(request_id=make.request_id(), usage=make.may_be(0.5, make.usage()))
    return metering_pb2.MeterRequest(finish=finish)


METER_STEPS: Mapping[str, Callable[[Valid], metering_pb2.MeterRequest]] = {
    "open": lambda make: metering_pb2.MeterRequest(open=_reserve(make)),
    "progress": lambda make: metering_pb2.MeterRequest(progress=make.usage()),
    "finish": _meter_finish,
}
"""The messages of a stream of Meter, in the order in which they belong."""


def _history(make: Valid) -> account_pb2.ListHistoryRequest:
    return account_pb2.ListHistoryRequest(
        account_id=make.account_id(),
        types=make.may_be(0.3, [make.choice(list(account_pb2.HistoryType.values())[1:])]),
        kinds=make.may_be(0.3, [make.choice([1, 2, 3])]),
        action=make.choice(["", "", "text"]),
        label=make.may_be(0.2, account_pb2.LabelMatch(key="feature", value=make.may_be(0.5, "v1"))),
        start=make.may_be(0.2, make.moment()),
        page_size=make.choice([0, 1, 3, 20]),
    )


def _summary(make: Valid) -> account_pb2.SummarizeUsageRequest:
    dimensions = [account_pb2.UsageGrouping(dimension=each) for each in make.choice([[1], [2, 3], [4, 5], []])]
    labels = [account_pb2.UsageGrouping(label_key="feature")] * make.choice([0, 1])
    return account_pb2.SummarizeUsageRequest(
        account_id=make.account_id(),
        group_by=[*dimensions, *labels],
        start=make.may_be(0.2, make.moment()),
        page_size=make.choice([0, 1, 3]),
    )


def _update(make: Valid) -> admin_pb2.UpdateAccountRequest:
    account_id = make.account_id()
    account = make.account(account_id)
    mask = make.may_be(0.3, FieldMask(paths=[make.choice(["plan_id", "alerts", "overdraft_limit_microcredits"])]))
    if account_id in LASTING:
        mask = FieldMask(paths=[make.choice(list(_KEPT_CHANGES))])
    return admin_pb2.UpdateAccountRequest(request_id=make.request_id(), account=account, update_mask=mask)


def _create(make: Valid) -> admin_pb2.CreateAccountRequest:
    return admin_pb2.CreateAccountRequest(request_id=make.request_id(), account=make.account(make.choice([*PASSING, *LASTING])))


def _grant(make: Valid) -> admin_pb2.GrantCreditsRequest:
    return admin_pb2.GrantCreditsRequest(
        request_id=make.request_id(),
        account_id=make.account_id(),
        kind=make.choice(list(grants_pb2.GrantKind.values())),
        amount_microcredits=make.choice([1, CREDIT, 100 * CREDIT]),
        effective_at=make.may_be(0.1, make.moment()),
        expires_at=make.may_be(0.2, make.moment()),
        source=make.choice(list(grants_pb2.GrantSource.values())),
        note=make.choice(["", "a note"]),
    )


def _void(make: Valid) -> admin_pb2.VoidGrantRequest:
    return admin_pb2.VoidGrantRequest(
        request_id=make.request_id(), account_id=make.choice(PASSING), grant_id=make.choice([make.an_id("grant_id"), "none"])
    )


def _plan(make: Valid) -> admin_pb2.PutPlanRequest:
    daily, monthly = make.choice([0, CREDIT]), make.choice([0, 100 * CREDIT])
    return admin_pb2.PutPlanRequest(
        plan=grants_pb2.Plan(plan_id=make.choice(PLANS[:2]), daily_microcredits=daily, monthly_microcredits=monthly)
    )


def _reflection(make: Valid) -> reflection_pb2.ServerReflectionRequest:
    names = ["creditmeter.v1.MeteringService", "creditmeter.v1.Work", "no.such.Name", ""]
    return make.choice(
        [
            reflection_pb2.ServerReflectionRequest(list_services="*"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=make.choice(names)),
            reflection_pb2.ServerReflectionRequest(file_by_filename="creditmeter/v1/metering.proto"),
            reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="creditmeter.v1.Work"),
        ]
    )


def _with_account(kind: Any) -> Callable[[Valid], Any]:
    return lambda make: kind(account_id=make.account_id())


def _pages(kind: Any, **more: Any) -> Callable[[Valid], Any]:
    return lambda make: kind(page_size=make.choice([0, 1, 2, 7]), **more)


_MADE: Mapping[str, Callable[[Valid], Any]] = {
    **{name.title(): made for name, made in _MUTATIONS.items()},
    "Quote": lambda make: metering_pb2.QuoteRequest(
        account_id=make.may_be(0.7, make.account_id()), work=[make.work() for _ in range(make.choice([1, 2, 50]))]
    ),
    "GetReservation": lambda make: metering_pb2.GetReservationRequest(reservation_id=make.an_id("reservation_id")),
    "GetCharge": lambda make: metering_pb2.GetChargeRequest(
        charge_id=make.an_id("charge_id"), wait=make.may_be(0.3, make.seconds(2))
    ),
    "GetRefund": lambda make: metering_pb2.GetRefundRequest(refund_id=make.an_id("refund_id")),
    "ListReservations": lambda make: metering_pb2.ListReservationsRequest(
        account_id=make.may_be(0.8, make.account_id()),
        state=make.choice(list(reservations_pb2.ReservationState.values())),
        page_size=make.choice([0, 1, 2, 7]),
    ),
    "Batch": lambda make: metering_pb2.BatchRequest(mutations=_mutations(make)),
    "Pipeline": lambda make: metering_pb2.PipelineRequest(
        frame_id=make.choice([0, 1, 2, 2**64 - 1]), mutations=_mutations(make), answer_in_parts=make.choice([True, False])
    ),
    "Meter": _meter,
    "GetBalance": _with_account(account_pb2.GetBalanceRequest),
    "GetPastBalance": lambda make: account_pb2.GetPastBalanceRequest(account_id=make.account_id(), at=make.moment()),
    "ListGrants": lambda make: account_pb2.ListGrantsRequest(account_id=make.account_id(), page_size=make.choice([0, 1, 3])),
    "ListHistory": _history,
    "SummarizeUsage": _summary,
    "ForecastUsage": _with_account(account_pb2.ForecastUsageRequest),
    "ListModelPrices": lambda make: account_pb2.ListModelPricesRequest(
        action=make.choice(["", "text", "tool"]), page_size=make.choice([1, 3, 20])
    ),
    "ExplainCharge": lambda make: account_pb2.ExplainChargeRequest(charge_id=make.an_id("charge_id")),
    "CreateAccount": _create,
    "GetAccount": _with_account(admin_pb2.GetAccountRequest),
    "UpdateAccount": _update,
    "ListAccounts": _pages(admin_pb2.ListAccountsRequest),
    "PutPlan": _plan,
    "ListPlans": _pages(admin_pb2.ListPlansRequest),
    "GrantCredits": _grant,
    "VoidGrant": _void,
    "PublishRateCard": lambda make: admin_pb2.PublishRateCardRequest(
        document=CARD.format(version=f"v{make.choice(list(range(CARDS)))}")
    ),
    "GetRateCard": lambda make: admin_pb2.GetRateCardRequest(version=make.choice([make.an_id("version"), "none"])),
    "ListRateCards": _pages(admin_pb2.ListRateCardsRequest),
    "ListSidecars": lambda make: admin_pb2.ListSidecarsRequest(
        state=make.choice(list(admin_pb2.SidecarState.values())), page_size=1
    ),
    "ListLeases": lambda make: admin_pb2.ListLeasesRequest(
        account_id=make.may_be(0.5, make.account_id()), page_size=make.choice([0, 1])
    ),
    "Check": lambda make: health_pb2.HealthCheckRequest(service=make.choice(_SERVICES)),
    "Watch": lambda make: health_pb2.HealthCheckRequest(service=make.choice(_SERVICES)),
    "ServerReflectionInfo": _reflection,
    "GetTopChannels": lambda make: channelz_pb2.GetTopChannelsRequest(max_results=make.choice([0, 1])),
    "GetServers": lambda make: channelz_pb2.GetServersRequest(max_results=make.choice([0, 1])),
    "GetServer": lambda make: channelz_pb2.GetServerRequest(server_id=make.choice([0, 1, 2, 3])),
    "GetServerSockets": lambda make: channelz_pb2.GetServerSocketsRequest(server_id=make.choice([1, 2, 3]), max_results=1),
    "GetChannel": lambda make: channelz_pb2.GetChannelRequest(channel_id=make.choice([1, 2])),
    "GetSubchannel": lambda make: channelz_pb2.GetSubchannelRequest(subchannel_id=make.choice([1, 2])),
    "GetSocket": lambda make: channelz_pb2.GetSocketRequest(socket_id=make.choice([1, 2, 5, 9])),
}
assert {each.partition("/")[2] for each in RPCS} == {*_MADE, "GetStatus", "List"}, (
    "each RPC that takes something has valid requests"
)
