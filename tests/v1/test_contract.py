"""The public contract, frozen: what independent clients are written against changes only together with this table."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor

from tests.v1.comments import errors_of_every_rpc, errors_stated
from tests.v1.contract import ENUMS, MESSAGES, SERVICES

METHODS = {
    "MeteringService": (
        "Quote Reserve Extend Commit Release Charge Refund GetReservation GetCharge GetRefund ListReservations Batch"
        " Pipeline Meter"
    ),
    "AccountService": (
        "GetBalance GetPastBalance ListGrants ListHistory SummarizeUsage ForecastUsage ListModelPrices ExplainCharge"
    ),
    "AdminService": (
        "CreateAccount GetAccount UpdateAccount ListAccounts PutPlan ListPlans GrantCredits VoidGrant PublishRateCard"
        " GetRateCard ListRateCards GetStatus ListSidecars ListLeases"
    ),
}
STREAMING = {"Pipeline", "Meter"}

FIELDS = {
    # What calls are about.
    "Work": (
        "action provider request_model input_tokens max_output_tokens quantity variant tool service_tier"
        " cache_creation_input_tokens cache_creation_1h_input_tokens units audio_input_tokens image_input_tokens"
    ),
    "Usage": (
        "action provider request_model response_model input_tokens output_tokens cache_read_input_tokens"
        " cache_creation_input_tokens cache_creation_1h_input_tokens reasoning_output_tokens audio_input_tokens"
        " audio_output_tokens image_input_tokens image_output_tokens quantity variant tool response_id source"
        " provider_usage_json units service_tier speed region search_type"
    ),
    "Reservation": (
        "reservation_id account_id state held_microcredits charged_microcredits charge_ids max_output_tokens created_at"
        " expires_at rate_card_version labels work progress"
    ),
    "Charge": (
        "charge_id reservation_id account_id request_id cost_microcredits covered_microcredits uncovered_microcredits"
        " refunded_microcredits exact_credits cost_usd late flags action usage labels rate_card_version authorized_at"
        " committed_at posted_at draws debt_microcredits duplicate_of_charge_id parts unread reported_cost_usd"
    ),
    "ChargePart": "response_id model service_tier usage cost_usd flags",
    "Draw": "grant_id kind amount_microcredits",
    "Refund": (
        "refund_id charge_id amount_microcredits restored_microcredits lapsed_microcredits posted_at mode reason"
        " never_paid_microcredits"
    ),
    # MeteringService.
    "QuoteRequest": "account_id work",
    "WorkQuote": "min_microcredits max_microcredits rate_card_version affordable affordable_output_tokens",
    "ReserveRequest": "request_id account_id work amount_microcredits ttl allow_partial labels wait",
    "ReserveResponse": "reservation replayed",
    "ExtendRequest": "request_id reservation_id work amount_microcredits ttl wait",
    "ExtendResponse": "reservation replayed",
    "CommitRequest": "request_id reservation_id usage amount_microcredits keep_open",
    "CommitResponse": "charge reservation replayed",
    "ReleaseRequest": "request_id reservation_id reason",
    "ReleaseResponse": "reservation replayed",
    "ChargeRequest": "request_id account_id usage amount_microcredits already_incurred labels wait",
    "ChargeResponse": "charge replayed",
    "RefundRequest": "request_id charge_id amount_microcredits mode reason",
    "RefundResponse": "refund replayed",
    "GetReservationRequest": "reservation_id",
    "GetChargeRequest": "charge_id wait",
    "GetRefundRequest": "refund_id",
    "ListReservationsRequest": "account_id state page_size page_token",
    "ListReservationsResponse": "reservations next_page_token",
    "Mutation": "reserve extend commit release charge refund",
    "MutationResult": "reserve extend commit release charge refund error",
    "BatchRequest": "mutations",
    "BatchResponse": "results",
    "PipelineRequest": "frame_id mutations answer_in_parts",
    "PipelineResponse": "frame_id results first_mutation",
    "MeterRequest": "open progress finish",
    "MeterFinish": "request_id usage",
    "MeterResponse": "opened go_on stop charged",
    "MeterOpened": "reservation replayed",
    "MeterGoOn": "output_tokens_left",
    "MeterStop": "reason",
    "MeterCharged": "charge reservation replayed",
    # AccountService.
    "GetBalanceRequest": "account_id",
    "GetBalanceResponse": (
        "available_microcredits held_microcredits unposted_microcredits leased_microcredits debt_microcredits plan_id"
        " buckets grants as_of stale"
    ),
    "GetPastBalanceRequest": "account_id at",
    "GetPastBalanceResponse": "at balance_microcredits buckets",
    "PastBucket": "kind remaining_microcredits",
    "Bucket": "kind granted_microcredits remaining_microcredits next_reset_at",
    "ListHistoryRequest": ("account_id types kinds action model tool source label start end page_size page_token"),
    "ListHistoryResponse": "entries pending next_page_token",
    "HistoryEntry": (
        "entry_id type amount_microcredits balance_after_microcredits kind grant_id charge_id refund_id draws action"
        " model tool quantity labels rate_card_version occurred_at posted_at note"
    ),
    "SummarizeUsageRequest": "account_id start end group_by page_size page_token",
    "ModelPrice": "action provider model variant tool tier typical_microcredits unit_prices cost_basis",
    "ExplainChargeRequest": "charge_id",
    "ExplainChargeResponse": "charge outcome explanation",
    "CostExplanation": (
        "rate_card_version price_list_version lines exact_credits cost_usd credits_per_usd increment_microcredits"
        " rounded_microcredits minimum_microcredits cap_microcredits cost_microcredits flags"
    ),
    "CostLine": (
        "response what model count rate per in_usd factor served above_input_tokens source rule amount markup credits"
    ),
    # AdminService.
    "CreateAccountRequest": "request_id account",
    "UpdateAccountRequest": "request_id account update_mask",
    "PutPlanRequest": "plan",
    "GrantCreditsRequest": ("request_id account_id kind amount_microcredits effective_at expires_at source note"),
    "GrantCreditsResponse": "grant replayed",
    "VoidGrantRequest": "request_id account_id grant_id",
    "GetStatusResponse": (
        "sidecar_id epoch version state started_at central_reachable central_seen_at rate_card_version"
        " open_reservation_count held_microcredits lease_count leased_microcredits unposted_count unposted_microcredits"
        " oldest_unposted_at addresses uptime central_clock_offset journal_bytes account_count reservation_count"
        " charge_count refund_count receipt_count quarantined_account_count quarantined_account_ids"
    ),
    "Account": (
        "account_id plan_id time_zone anchor_day state overdraft_limit_microcredits max_open_reservations"
        " max_reservation_microcredits offline_allowance_microcredits alerts created_at"
    ),
    "Plan": "plan_id daily_microcredits monthly_microcredits",
    "Grant": (
        "grant_id account_id kind amount_microcredits remaining_microcredits effective_at expires_at source note created_at"
        " voided_at"
    ),
}

ONEOFS = {
    "ReserveRequest.bound": "work amount_microcredits",
    "ExtendRequest.bound": "work amount_microcredits",
    "CommitRequest.cost": "usage amount_microcredits",
    "ChargeRequest.cost": "usage amount_microcredits",
    "Mutation.request": "reserve extend commit release charge refund",
    "MutationResult.result": "reserve extend commit release charge refund error",
    "MeterRequest.step": "open progress finish",
    "MeterResponse.event": "opened go_on stop charged",
    "UsageGrouping.by": "dimension label_key",
    "Alert.threshold": "amount_microcredits percent",
}

OPTIONAL = {
    "Work": "input_tokens max_output_tokens quantity",
    "Usage": (
        "input_tokens output_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation_1h_input_tokens"
        " reasoning_output_tokens audio_input_tokens audio_output_tokens image_input_tokens image_output_tokens"
        " quantity"
    ),
    "RefundRequest": "amount_microcredits",
    "LabelMatch": "value",
    "CostExplanation": "cap_microcredits",
    "Account": (
        "plan_id time_zone anchor_day overdraft_limit_microcredits max_open_reservations max_reservation_microcredits"
        " offline_allowance_microcredits"
    ),
}

# Each in the order of its numbers from 1; 0 is UNSPECIFIED.
ENUM_VALUES = {
    "GrantKind": "DAILY MONTHLY PERMANENT",
    "GrantSource": "PLAN REFERRAL PROMOTION BONUS PURCHASE GOODWILL",
    "ReservationState": "HELD COMMITTED RELEASED EXPIRED",
    "RefundMode": "ORIGINAL GOODWILL",
    "AccountState": "ACTIVE SUSPENDED CLOSED",
    "UsageSource": "PROVIDER PARTIAL_STREAM ESTIMATED",
    "ChargeFlag": "FALLBACK_PRICE CONTRADICTORY_USAGE MINIMUM CAPPED ESTIMATED DUPLICATE UNKNOWN_TIER UNREAD_USAGE LIST_PRICE",
    "HistoryType": "GRANTED CHARGED REFUNDED LAPSED VOIDED WRITTEN_OFF DEBT_REPAID PLAN_CHANGED LOW_BALANCE",
    "MeterStopReason": "HOLD_USED_UP RESERVATION_EXPIRED RESERVATION_ENDED SHUTTING_DOWN DAILY_LIMIT_EXCEEDED",
    "UsageDimension": "DAY ACTION MODEL TOOL KIND",
    "ForecastReason": "MONTHLY_RUNS_OUT_EARLY LONG_SESSIONS IMAGE_HEAVY SEARCH_HEAVY PARALLEL_WORKFLOWS",
    "CostBasis": "LIST REPORTED HIGHER",
    "ModelTier": "STANDARD HIGHER_COST",
    "PriceUnit": (
        "INPUT_TOKENS OUTPUT_TOKENS CACHE_READ_INPUT_TOKENS CACHE_CREATION_INPUT_TOKENS CACHE_CREATION_1H_INPUT_TOKENS"
        " REASONING_OUTPUT_TOKENS AUDIO_INPUT_TOKENS AUDIO_OUTPUT_TOKENS IMAGE_INPUT_TOKENS IMAGE_OUTPUT_TOKENS"
        " QUANTITY"
    ),
    "PriceSource": "CARD PRICE_LIST FREE REPORTED",
    "ExplanationOutcome": "SAME DIFFERENT STATED UNPRICED NO_CARD",
    "ServingState": "STARTING SERVING DRAINING JOURNAL_UNWRITABLE FENCED FILE_MISSING",
    "SidecarState": "ACTIVE SILENT GONE",
    "ErrorReason": (
        "INSUFFICIENT_CREDITS LIMIT_EXCEEDED OVERLOADED ACCOUNT_NOT_FOUND RESERVATION_NOT_FOUND CHARGE_NOT_FOUND"
        " REFUND_NOT_FOUND GRANT_NOT_FOUND PLAN_NOT_FOUND RATE_CARD_NOT_FOUND ACCOUNT_SUSPENDED ACCOUNT_CLOSED"
        " AMOUNT_ABOVE_LIMIT GRANT_ENDED TIME_ZONE_CHANGE_TOO_SOON RESERVATION_COMMITTED RESERVATION_RELEASED"
        " RESERVATION_EXPIRED RESERVATION_ELSEWHERE REFUND_EXCEEDS_CHARGE UNPRICED REQUEST_ID_REUSED ACCOUNT_EXISTS"
        " RATE_CARD_EXISTS INVALID_REQUEST CENTRAL_UNAVAILABLE STORAGE_UNAVAILABLE RECALL_PENDING SHUTTING_DOWN FENCED"
        " UNAUTHENTICATED PERMISSION_DENIED NOT_IMPLEMENTED INTERNAL GRANT_VOIDED STORAGE_DAMAGED CONTENDED DAY_NOT_BEGUN"
        " STREAM_RESUMED DAILY_LIMIT_EXCEEDED"
    ),
}


def every_field() -> Iterator[tuple[str, FieldDescriptor]]:
    """All fields of all messages, each with its message's name."""
    return ((name, field) for name, message in MESSAGES.items() for field in message.fields)


def test_services_have_exactly_these_methods() -> None:
    """A method is neither added, renamed nor lost unnoticed."""
    found = {name: " ".join(method.name for method in service.methods) for name, service in SERVICES.items()}
    assert found == METHODS


def test_every_rpc_has_a_request_and_a_response_of_its_own() -> None:
    """So that each can grow without touching another."""
    methods = [method for service in SERVICES.values() for method in service.methods]
    for method in methods:
        assert (method.input_type.name, method.output_type.name) == (f"{method.name}Request", f"{method.name}Response")
        assert method.client_streaming == method.server_streaming == (method.name in STREAMING), method.name
    assert len({method.name for method in methods}) == len(methods)


@pytest.mark.parametrize("message", FIELDS)
def test_fields(message: str) -> None:
    """The main messages have these fields, numbered in this order."""
    fields = MESSAGES[message].fields
    assert " ".join(field.name for field in fields) == FIELDS[message]
    assert [field.number for field in fields] == list(range(1, len(fields) + 1))


def test_oneofs() -> None:
    """What excludes each other."""
    found = {
        f"{name}.{oneof.name}": " ".join(field.name for field in oneof.fields)
        for name, message in MESSAGES.items()
        for oneof in message.oneofs
        if not oneof.name.startswith("_")  # a synthetic one stands for `optional`
    }
    assert found == ONEOFS


def test_optional_scalars() -> None:
    """Where 0 differs from unset; all other scalars have no presence, so that replies always print them."""
    found: dict[str, list[str]] = {}
    for name, field in every_field():
        oneof = field.containing_oneof
        if oneof is not None and oneof.name == f"_{field.name}":
            found.setdefault(name, []).append(field.name)
    assert {name: " ".join(fields) for name, fields in found.items()} == OPTIONAL


@pytest.mark.parametrize("enum", ENUM_VALUES)
def test_enum_values(enum: str) -> None:
    """Each value carries its enum's name, and zero is unspecified."""
    prefix = "".join(f"_{letter}" if letter.isupper() else letter for letter in enum).strip("_").upper()
    values = ["UNSPECIFIED", *ENUM_VALUES[enum].split()]
    expected = [(f"{prefix}_{value}", number) for number, value in enumerate(values)]
    assert [(value.name, value.number) for value in ENUMS[enum].values] == expected


def test_no_enum_is_left_out() -> None:
    """The table of enums is whole."""
    assert ENUMS.keys() == ENUM_VALUES.keys()


def test_every_error_is_named_at_an_rpc_and_every_named_one_exists() -> None:
    """A reason stands after `Errors:` at each RPC that may answer it, or among those of every RPC."""
    stated = errors_stated()
    assert stated["Extend"] - stated["Reserve"] == {
        f"RESERVATION_{each}" for each in ("NOT_FOUND", "COMMITTED", "RELEASED", "EXPIRED", "ELSEWHERE")
    }
    assert stated["Reserve"] - stated["Extend"] == {"LIMIT_EXCEEDED"}
    assert errors_of_every_rpc().union(*stated.values()) == set(ENUM_VALUES["ErrorReason"].split())


def test_amounts_are_int64_microcredits_and_no_number_is_a_float() -> None:
    """A float never touches an amount."""
    for name, field in every_field():
        assert field.type not in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT), f"{name}.{field.name}"
        if field.name.endswith("_microcredits"):
            assert field.type == FieldDescriptor.TYPE_INT64, f"{name}.{field.name}"


def test_every_mutation_says_whether_it_is_replayed() -> None:
    """Whatever takes a request_id answers `replayed`."""
    for service in SERVICES.values():
        for method in service.methods:
            if "request_id" in method.input_type.fields_by_name:
                assert "replayed" in method.output_type.fields_by_name, method.name


def test_every_list_is_paged_in_the_same_way() -> None:
    """page_size and page_token in, next_page_token out."""
    for service in SERVICES.values():
        for method in service.methods:
            pages = "page_size" in method.input_type.fields_by_name
            assert pages == ("page_token" in method.input_type.fields_by_name), method.name
            assert pages == ("next_page_token" in method.output_type.fields_by_name), method.name
            assert pages or not method.name.startswith("List"), method.name
