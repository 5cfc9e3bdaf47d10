"""The bounds that the contract states of its requests' fields, each with values of both of its sides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from creditmeter.v1 import account_pb2, admin_pb2, grants_pb2, metering_pb2, work_pb2
from tests.server.requests import (
    charge,
    commit,
    create,
    document,
    extend,
    grant,
    of_charge,
    of_commit,
    of_listing,
    of_parts,
    of_units,
    of_work,
    reserve,
    text,
    tool,
    usage_json,
    used,
)
from tests.v1.contract import SERVICES

MOST = 10**15
YEAR_10000 = 253_402_300_800


@dataclass(frozen=True)
class Bound:
    """A bound of a field: what is stated and where, how a request is made with a value in it, and values of both sides."""

    elements: str
    sentence: str
    field: str
    make: Callable[[Any], Message]
    within: Sequence[Any]
    beyond: Sequence[Any]


def bound(elements: str, sentence: str, field: str, make: Callable[[Any], Message], within: Any, beyond: Any) -> Bound:
    """A row of the table below."""
    return Bound(elements, sentence, field, make, within, beyond)


IDS = ["x", "x" * 128, "!~"], ["", "x" * 129, "two words", "\N{LATIN SMALL LETTER E WITH ACUTE}", "tab\t"]
ONE_OR_MORE = [1, MOST], [0, -1, MOST + 1]
NONE_OR_MORE = [0, MOST], [-1, MOST + 1]
COUNTS = [0, 1, 10**9], [-1, 10**9 + 1]
NAMES = ["", "x" * 256], ["x" * 257]
TEXTS = ["", "x" * 512, "\N{SNOWMAN}" * 512], ["x" * 513]

HEAD = "metering.proto"
WORK = "Work"
USAGE = "Usage"
ID_RULE = "Ids are 1-128 printable ASCII characters without spaces."
LABEL_RULE = "Labels are at most 16, keys 1-64 characters, values at most 256."
NAME_RULE = "Strings are at most 256 characters."
COUNT_RULE = "Counts are 0 to 1,000,000,000."
USAGE_TEXTS = [
    *("action", "provider", "request_model", "response_model", "variant", "tool", "response_id"),
    *("service_tier", "speed", "region", "search_type"),
]
UNITS_RULE = "At most 32, names 1-64 characters, each 0 to 1,000,000,000."
USAGE_NAMES = "Strings are at most 256 characters, except provider_usage_json."

BOUNDS = [
    # Conventions.
    bound(
        HEAD,
        "an amount in a request is at most 10^15.",
        "amount_microcredits",
        lambda n: reserve(amount_microcredits=n),
        [1, MOST],
        [MOST + 1, 2**63 - 1],
    ),
    bound(HEAD, ID_RULE, "request_id", lambda name: reserve(request_id=name), *IDS),
    bound(HEAD, ID_RULE, "account_id", lambda name: reserve(account_id=name), *IDS),
    bound(HEAD, ID_RULE, "charge_id", lambda name: metering_pb2.GetChargeRequest(charge_id=name), *IDS),
    bound(HEAD, LABEL_RULE, "labels", lambda n: reserve(labels={f"k{i}": "" for i in range(n)}), [0, 16], [17]),
    bound(HEAD, LABEL_RULE, "labels['{}']", lambda key: reserve(labels={key: "v"}), ["k", "k" * 64], [""]),
    bound(HEAD, LABEL_RULE, f"labels['{'k' * 64}']", lambda key: reserve(labels={key: "v"}), ["k" * 64], ["k" * 65]),
    bound(HEAD, LABEL_RULE, "labels['k']", lambda value: reserve(labels={"k": value}), ["", "v" * 256], ["v" * 257]),
    bound(
        HEAD,
        "Times in requests are of the years 1970 to 9999.",
        "start",
        lambda s: account_pb2.ListHistoryRequest(account_id="alice", start=Timestamp(seconds=s)),
        [0, YEAR_10000 - 1],
        [-1, YEAR_10000],
    ),
    bound(
        HEAD,
        "page_size 0 means 50, above 1,000 means 1,000, negative is invalid.",
        "page_size",
        lambda n: admin_pb2.ListPlansRequest(page_size=n),
        [0, 1, 2**31 - 1],
        [-1, -(2**31)],
    ),
    # Work and usage.
    *(bound(WORK, COUNT_RULE, f"work.{name}", of_work(name), *COUNTS) for name in ("input_tokens", "max_output_tokens")),
    bound(WORK, COUNT_RULE, "work.quantity", lambda n: reserve(work=tool(quantity=n)), [1, 10**9], [-1, 10**9 + 1]),
    bound(
        "Work.quantity",
        "0 is invalid for work that has a price.",
        "work.quantity",
        lambda n: reserve(work=tool(quantity=n)),
        [1],
        [0],
    ),
    *(
        bound(WORK, COUNT_RULE, f"work.{name}", of_parts(name), *COUNTS)
        for name in (
            "cache_creation_input_tokens",
            "cache_creation_1h_input_tokens",
            "audio_input_tokens",
            "image_input_tokens",
        )
    ),
    *(
        bound("Work.units", UNITS_RULE, field, make, within, beyond)
        for field, make, within, beyond in (
            ("work.units", lambda n: of_units({f"u{number}": 1 for number in range(n)}), [0, 32], [33]),
            ("work.units['{}']", lambda name: of_units({name: 1}), ["u", "u" * 64], [""]),
            (f"work.units['{'u' * 64}']", lambda name: of_units({name: 1}), ["u" * 64], ["u" * 65]),
            ("work.units['u']", lambda n: of_units({"u": n}), *COUNTS),
        )
    ),
    *(
        bound(WORK, NAME_RULE, f"work.{name}", of_work(name), ["x", "x" * 256], ["x" * 257])
        for name in ("action", "provider", "request_model", "variant", "tool", "service_tier")
    ),
    *(
        bound(USAGE, COUNT_RULE, f"usage.{field.name}", of_charge(field.name), *COUNTS)
        for field in work_pb2.Usage.DESCRIPTOR.fields
        if field.name.endswith("tokens") or field.name == "quantity"
    ),
    *(bound(USAGE, COUNT_RULE, f"usage.{name}", of_commit(name), *COUNTS) for name in ("input_tokens", "quantity")),
    *(bound(USAGE, USAGE_NAMES, f"usage.{name}", of_charge(name), ["x", "x" * 256], ["x" * 257]) for name in USAGE_TEXTS),
    bound(
        "Usage.provider_usage_json",
        "At most 64 KiB.",
        "usage.provider_usage_json",
        lambda value: charge(usage=used(provider_usage_json=value)),
        [usage_json(64 * 1024)],
        [usage_json(64 * 1024 + 1), "{", "\N{SNOWMAN}" * 30_000],
    ),
    bound(
        "Usage.units",
        UNITS_RULE,
        "usage.units",
        lambda n: charge(usage=used(units={f"u{number}": 1 for number in range(n)})),
        [0, 32],
        [33],
    ),
    bound(
        "Usage.units", UNITS_RULE, "usage.units['{}']", lambda name: charge(usage=used(units={name: 1})), ["u", "u" * 64], [""]
    ),
    bound(
        "Usage.units",
        UNITS_RULE,
        f"usage.units['{'u' * 64}']",
        lambda name: charge(usage=used(units={name: 1})),
        ["u" * 64],
        ["u" * 65],
    ),
    bound("Usage.units", UNITS_RULE, "usage.units['u']", lambda n: charge(usage=used(units={"u": n})), *COUNTS),
    # MeteringService.
    bound(
        "QuoteRequest.work",
        "The work to price, 1 to 50.",
        "work",
        lambda n: metering_pb2.QuoteRequest(work=[text()] * n),
        [1, 50],
        [0, 51],
    ),
    bound(
        "ReserveRequest.amount_microcredits",
        "A fixed amount, 1 or more.",
        "amount_microcredits",
        lambda n: reserve(amount_microcredits=n),
        *ONE_OR_MORE,
    ),
    bound(
        "ReserveRequest.ttl",
        "How long to hold it: 1 s to max_hold_lifetime (1 hour by default).",
        "ttl",
        lambda s: reserve(ttl=s),
        [Duration(seconds=1), Duration(seconds=3_600)],
        [Duration(), Duration(nanos=999_999_000), Duration(seconds=3_600, nanos=1_000), Duration(seconds=-1)],
    ),
    bound(
        "ExtendRequest.amount_microcredits",
        "The total as an amount, 1 or more.",
        "amount_microcredits",
        lambda n: extend(amount_microcredits=n),
        *ONE_OR_MORE,
    ),
    bound(
        "ExtendRequest.ttl",
        "1 s or more.",
        "ttl",
        lambda s: extend(ttl=s),
        [Duration(seconds=1), Duration(seconds=315_576_000_000)],
        [Duration(), Duration(nanos=999_999_000), Duration(seconds=-1)],
    ),
    bound(
        "ReserveRequest.wait",
        "How long to wait for credit that other sidecars were asked to return: 0 to 60 s, never past the call's deadline.",
        "wait",
        lambda s: reserve(wait=s),
        [Duration(), Duration(seconds=60)],
        [Duration(seconds=60, nanos=1_000), Duration(nanos=-1_000), Duration(seconds=-1)],
    ),
    bound(
        "ExtendRequest.wait",
        "How long to wait for credit that other sidecars were asked to return: 0 to 60 s, never past the call's deadline.",
        "wait",
        lambda s: extend(ttl=Duration(seconds=1), wait=s),
        [Duration(), Duration(seconds=60)],
        [Duration(seconds=60, nanos=1_000), Duration(nanos=-1_000), Duration(seconds=-1)],
    ),
    bound(
        "ChargeRequest.wait",
        "How long to wait for credit that other sidecars were asked to return: 0 to 60 s, never past the call's deadline.",
        "wait",
        lambda s: charge(amount_microcredits=1, wait=s),
        [Duration(), Duration(seconds=60)],
        [Duration(seconds=60, nanos=1_000), Duration(nanos=-1_000), Duration(seconds=-1)],
    ),
    bound(
        "GetChargeRequest.wait",
        "How long to wait until the charge is posted: 0 to 60 s, never past the call's deadline.",
        "wait",
        lambda s: metering_pb2.GetChargeRequest(charge_id="x", wait=s),
        [Duration(), Duration(seconds=60)],
        [Duration(seconds=60, nanos=1_000), Duration(nanos=-1_000), Duration(seconds=-1)],
    ),
    bound(
        "CommitRequest.amount_microcredits",
        "0 charges 0.",
        "amount_microcredits",
        lambda n: commit(amount_microcredits=n),
        *NONE_OR_MORE,
    ),
    bound(
        "ReleaseRequest.reason",
        "At most 512 characters.",
        "reason",
        lambda value: metering_pb2.ReleaseRequest(request_id="r", reservation_id="none", reason=value),
        *TEXTS,
    ),
    bound(
        "ChargeRequest.amount_microcredits",
        "A fixed amount, 1 or more.",
        "amount_microcredits",
        lambda n: charge(amount_microcredits=n),
        *ONE_OR_MORE,
    ),
    bound(
        "RefundRequest.amount_microcredits",
        "An explicit 0 is invalid, and so is what leaves the account with more than GrantCredits may.",
        "amount_microcredits",
        lambda n: metering_pb2.RefundRequest(request_id="r", charge_id="none", amount_microcredits=n),
        [None, 1, MOST],
        [0, -1],
    ),
    bound(
        "RefundRequest.reason",
        "At most 512 characters.",
        "reason",
        lambda value: metering_pb2.RefundRequest(request_id="r", charge_id="none", reason=value),
        *TEXTS,
    ),
    # AccountService.
    bound(
        "SummarizeUsageRequest.group_by",
        "What to group by, at most 4, each once.",
        "group_by",
        lambda n: account_pb2.SummarizeUsageRequest(
            account_id="alice", group_by=[account_pb2.UsageGrouping(label_key=f"k{i}") for i in range(n)]
        ),
        [0, 4],
        [5],
    ),
    # AdminService.
    bound(
        "Plan.plan_id",
        "The plan's id, chosen by the operator: 1-128 printable ASCII characters without spaces.",
        "plan.plan_id",
        lambda name: admin_pb2.PutPlanRequest(plan=grants_pb2.Plan(plan_id=name)),
        *IDS,
    ),
    bound(
        "Plan.daily_microcredits",
        "Granted each local day, in microcredits, 0 or more.",
        "plan.daily_microcredits",
        lambda n: admin_pb2.PutPlanRequest(plan=grants_pb2.Plan(plan_id="p", daily_microcredits=n)),
        *NONE_OR_MORE,
    ),
    bound(
        "Plan.monthly_microcredits",
        "Granted each month from the account's anchor day, in microcredits, 0 or more.",
        "plan.monthly_microcredits",
        lambda n: admin_pb2.PutPlanRequest(plan=grants_pb2.Plan(plan_id="p", monthly_microcredits=n)),
        *NONE_OR_MORE,
    ),
    bound(
        "Alert.amount_microcredits",
        "An amount, 1 or more.",
        "account.alerts.amount_microcredits",
        lambda n: create(alerts=[admin_pb2.Alert(amount_microcredits=n)]),
        *ONE_OR_MORE,
    ),
    bound(
        "Alert.percent",
        "A share, 1 to 100 percent, of what the grants usable now gave.",
        "account.alerts.percent",
        lambda n: create(alerts=[admin_pb2.Alert(percent=n)]),
        [1, 100],
        [0, 101, -1],
    ),
    bound(
        "Account.anchor_day",
        "The day of the month on which the account's months begin, 1 to 31, clamped to each month's last day.",
        "account.anchor_day",
        lambda n: create(anchor_day=n),
        [1, 31],
        [-1, 32],
    ),
    bound(
        "Account.overdraft_limit_microcredits",
        "How much debt cost beyond all credit may leave, in microcredits, 0 or more.",
        "account.overdraft_limit_microcredits",
        lambda n: create(overdraft_limit_microcredits=n),
        *NONE_OR_MORE,
    ),
    bound(
        "Account.max_open_reservations",
        "The most reservations it may have open on one sidecar, 0 to 100,000.",
        "account.max_open_reservations",
        lambda n: create(max_open_reservations=n),
        [0, 100_000],
        [-1, 100_001],
    ),
    bound(
        "Account.alerts",
        "Thresholds of low balance, at most 16.",
        "account.alerts",
        lambda n: create(alerts=[admin_pb2.Alert(percent=each) for each in range(1, n + 1)]),
        [0, 16],
        [17],
    ),
    bound(
        "GrantCreditsRequest.amount_microcredits",
        "How much, 1 or more.",
        "amount_microcredits",
        lambda n: grant(amount_microcredits=n),
        *ONE_OR_MORE,
    ),
    bound("GrantCreditsRequest.note", "At most 512 characters.", "note", lambda value: grant(note=value), *TEXTS),
    bound(
        "PublishRateCardRequest.document",
        "Required, at most 1 MiB.",
        "document",
        lambda size: admin_pb2.PublishRateCardRequest(document=document(size) if size else ""),
        [1024**2],
        [0, 1024**2 + 1],
    ),
    # Every listing.
    *(
        bound(
            f"{method.input_type.name}.page_size",
            "0 means 50, above 1,000 means 1,000.",
            "page_size",
            of_listing(method.input_type.name),
            [0, 1, 1_000, 1_001],
            [-1],
        )
        for service in SERVICES.values()
        for method in service.methods
        if "page_size" in method.input_type.fields_by_name
    ),
]
