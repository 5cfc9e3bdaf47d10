"""Numbers in the contract's comments that are no bounds which a test could try from both sides."""

OF_STREAMS = {
    ("MeterGoOn.output_tokens_left", "For work that is not text, 0."): (
        "test_a_call_that_does_not_go_by_tokens_goes_on_while_its_hold_covers_it"
    ),
    (
        "MeteringService.Meter",
        ("A stream that breaks is charged for its last progress after a grace of 5 s, in which the same open resumes it;"),
    ): "test_a_broken_stream_is_charged_for_its_last_report_after_a_grace",
    ("BatchRequest.mutations", "At most 1,000 mutations, of any accounts."): "test_a_batch_has_at_most_a_thousand_mutations",
    (
        "MeteringService.Batch",
        "The reply is at most 4 MiB: mutations whose results might not fit are not applied, and are OVERLOADED.",
    ): ("test_mutations_whose_results_have_no_room_are_not_applied"),
    ("MeteringService.Pipeline", "So much of a stream is under way at most: 64 frames, and 8 MiB of them unless it is one;"): (
        "test_what_is_under_way_on_a_stream_is_bounded"
    ),
    (
        "MeteringService.Pipeline",
        "An answer counts as 1 KiB for each mutation.",
    ): "test_what_is_under_way_on_a_stream_is_bounded",
    ("PipelineRequest.mutations", "At most 1,000 mutations, of any accounts."): "test_a_bad_frame_fails_alone",
    (
        "PipelineRequest.mutations",
        "One of more than 10,000 ends the stream with INVALID_REQUEST.",
    ): "test_a_frame_that_nobody_could_be_answered_ends_the_stream",
}
"""Bounds of frames and streams, with the tests of test_frames.py and test_metered.py that try them."""

NO_BOUNDS = {
    (
        "CommitRequest.keep_open",
        "Of a metered call, the progress begins at 0 again: report none that was counted before.",
    ),
    ("PipelineResponse.first_mutation", "Which mutation of the frame the first result is of, counted from 0."),
    ("PipelineResponse.first_mutation", "Always 0 without answer_in_parts."),
    (
        "Account",
        (
            "Scalars have presence because UpdateAccount with an empty mask changes just the fields that are "
            "set: there, a set 0 or empty string is a value."
        ),
    ),
    ("Account.anchor_day", "0 or unset at creation: the day of creation in the account's time zone."),
    ("Account.max_open_reservations", "0: the server's default."),
    ("Account.max_reservation_microcredits", "0: the server's default."),
    ("Account.offline_allowance_microcredits", "Default 0."),
    ("Account.overdraft_limit_microcredits", "Default 0."),
    (
        "AccountService.ForecastUsage",
        (
            "ForecastUsage looks at an account's last 30 days and says how long each bucket lasts and which plan "
            "would have been enough."
        ),
    ),
    (
        "BucketForecast",
        ("How long one bucket lasts, within its own window: the day for DAILY, the month for MONTHLY, 30 days for PERMANENT."),
    ),
    ("Charge", "of a DUPLICATE all three are 0."),
    ("Charge.cost_usd", '"0" when the cost was given as an amount.'),
    ("Charge.debt_microcredits", "0 until posted."),
    ("Charge.parts", "of more than 64 the first ones."),
    (
        "Charge.reported_cost_usd",
        "What the provider or a gateway itself says that the call cost, in USD, as a decimal string of at most 12 decimals;",
    ),
    ("Charge.uncovered_microcredits", "0 until posted."),
    (
        "Charge.unread",
        (
            "The paths in the provider's report of numbers that look like counts of tokens and were not read: at most 16, "
            "each of at most 128 characters."
        ),
    ),
    ("ChargeRequest.usage", "Free actions cost 0 and are allowed at balance 0."),
    ("CommitRequest.keep_open", "A hold that is used up stays HELD with 0."),
    (
        "ErrorReason.ERROR_REASON_INSUFFICIENT_CREDITS",
        "Metadata: required_microcredits, available_microcredits, next_reset_at (RFC 3339;",
    ),
    (
        "ForecastUsageResponse.smallest_plan",
        (
            "The smallest plan, by daily x 30 + monthly, that would have paid for every call in these days, also for those "
            "that were refused."
        ),
    ),
    (
        "ForecastUsageResponse.start",
        "The beginning of the days looked at: 30 days before end, or the account's creation if that is later.",
    ),
    ("GetStatusResponse.epoch", "0 before it registered."),
    ("GetStatusResponse.journal_bytes", "0: the system does not say."),
    ("Grant.amount_microcredits", "What was given, in microcredits (1 credit = 1,000,000)."),
    ("HistoryEntry.quantity", "0 for entries that are about no charge."),
    ("HistoryType.HISTORY_TYPE_LOW_BALANCE", "the amount is 0."),
    ("HistoryType.HISTORY_TYPE_PLAN_CHANGED", "the amount is 0."),
    ("HistoryType.HISTORY_TYPE_REFUNDED", "In mode GOODWILL the amount is 0 and a GRANTED entry follows."),
    ("HistoryType.HISTORY_TYPE_WRITTEN_OFF", "the note says how much, and the amount is 0 since it moves no credit."),
    (
        "ModelPrice.typical_microcredits",
        (
            "What a typical call costs, rounded as a charge is: for text 1,000 input and 500 output tokens, else "
            "a quantity of 1."
        ),
    ),
    ("Refund.never_paid_microcredits", "0 until posted."),
    (
        "RateCard.version",
        (
            "The version that charges carry: as the document names it and, if its prices come from a price list, "
            '"+" and the version of that, for example "2026-12+genai-prices.0.2.3".'
        ),
    ),
    ("Refund.lapsed_microcredits", "0 until posted."),
    ("Refund.restored_microcredits", "0 until posted."),
    ("Reservation.held_microcredits", "0 once it has ended."),
    ("Reservation.max_output_tokens", "0 when the whole price is held."),
    ("UnitPrice.above_input_tokens", "0: from the first token."),
    ("UnitPrice.unit_count", "How many units the amount buys: 1,000,000 for tokens, 1 for quantity."),
    ("ReserveRequest.wait", "0: not at all."),
    ("ReserveRequest.wait", "Unset: the setting recall_timeout (250 ms)."),
    ("ExtendRequest.wait", "0: not at all."),
    ("ExtendRequest.wait", "Unset: the setting recall_timeout (250 ms)."),
    ("ChargeRequest.wait", "0: not at all."),
    ("ChargeRequest.wait", "Unset: the setting recall_timeout (250 ms)."),
    (
        "ErrorReason.ERROR_REASON_RECALL_PENDING",
        (
            "Metadata: awaited_sidecars, awaited_microcredits and awaited_until, three lists in the same order whose items are "
            "separated by commas: who has not answered, how much may come back from it, and until when at the latest it is "
            "waited for (RFC 3339)."
        ),
    ),
    ("ErrorReason.ERROR_REASON_RECALL_PENDING", "The 10 that may bring most are named."),
    ("ErrorReason.ERROR_REASON_DAY_NOT_BEGUN", "Metadata: day_begins_at (RFC 3339), by the central store's clock."),
    (
        "ErrorReason.ERROR_REASON_DAILY_LIMIT_EXCEEDED",
        "Metadata: required_microcredits, available_microcredits, limit_microcredits, resets_at (RFC 3339).",
    ),
    ("Usage", "An explicit 0 is 0, an unset count is unknown."),
    ("Usage.quantity", "0 costs 0."),
    ("Usage.quantity", "Unset: the work's quantity, else 1."),
    ("Work.cache_creation_input_tokens", "0: those of cache_creation_1h_input_tokens, or none."),
    ("Work.quantity", "Unset means 1;"),
    (
        "Work.variant",
        (
            'The image\'s size and quality as the rate card names them, for example "1024x1024-high": in any order, also where '
            "the card names only one of them."
        ),
    ),
    ("WorkQuote.affordable_output_tokens", "0 for other actions and if no account was named."),
    (
        "metering.proto",
        (
            "- A call that changes something carries a request_id, unique within its account over all RPCs (a "
            'client may derive "job42/reserve" and "job42/commit").'
        ),
    ),
    ("metering.proto", "Conventions of all services: - Amounts are whole microcredits (1 credit = 1,000,000);"),
}
"""What has a number and bounds nothing: units, defaults, examples, what a 0 stands for, how far back is looked."""
