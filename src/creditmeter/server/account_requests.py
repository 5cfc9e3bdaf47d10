"""The requests of AccountService with many fields, read into the core's."""

from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType, HistoryFilter, LabelFilter
from creditmeter.core.ids import AccountId
from creditmeter.core.reports.usage_summary import MAX_GROUPINGS, Dimension, Grouping, LabelKey, UsageQuery
from creditmeter.server.fields import MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_NAME, Fields
from creditmeter.v1 import account_pb2, grants_pb2


def history_filter(fields: Fields, request: account_pb2.ListHistoryRequest) -> HistoryFilter:
    """The filter of a ListHistory."""
    wanted = HistoryFilter(
        types=fields.enums("types", account_pb2.HistoryType, EntryType),
        kinds=fields.enums("kinds", grants_pb2.GrantKind, GrantKind),
        source=fields.enum("source", grants_pb2.GrantSource, GrantSource),
        label=_label(fields.within("label", request.label), request.label) if request.HasField("label") else None,
        action=fields.text("action", MAX_NAME),
        model=fields.text("model", MAX_NAME),
        tool=fields.text("tool", MAX_NAME),
        start=fields.bound_if_set("start"),
        end=fields.bound_if_set("end"),
    )
    _check_order(fields, wanted)
    return wanted


def usage_query(fields: Fields, request: account_pb2.SummarizeUsageRequest) -> UsageQuery:
    """The query of a SummarizeUsage."""
    wanted = UsageQuery(
        account_id=fields.id("account_id", AccountId),
        start=fields.bound_if_set("start"),
        end=fields.bound_if_set("end"),
        group_by=_groupings(fields, request),
    )
    _check_order(fields, wanted)
    return wanted


def _check_order(fields: Fields, wanted: HistoryFilter | UsageQuery) -> None:
    if wanted.start is not None and wanted.end is not None and wanted.end < wanted.start:
        fields.wrong("end", "must not be before start")


def _label(fields: Fields, label: account_pb2.LabelMatch) -> LabelFilter:
    if not label.key:
        fields.wrong("key", "is missing")
    value = fields.text("value", MAX_LABEL_VALUE) if label.HasField("value") else None
    return LabelFilter(fields.text("key", MAX_LABEL_KEY), value)


def _groupings(fields: Fields, request: account_pb2.SummarizeUsageRequest) -> list[Grouping]:
    """The valid ones of the groupings that are asked for; what is wrong with the others is noted."""
    if len(request.group_by) > MAX_GROUPINGS:
        fields.wrong("group_by", f"must be at most {MAX_GROUPINGS}")
    found: dict[Grouping, None] = {}
    for number, each in enumerate(request.group_by):
        name = f"group_by[{number}]"
        if each.WhichOneof("by") is None:
            fields.wrong(name, "must name a dimension or a label_key")
            continue
        grouping = _grouping(fields.within(name, each), each)
        if grouping in found:
            fields.wrong(name, "is named before: each at most once")
        elif grouping is not None:
            found[grouping] = None
    return list(found)


def _grouping(fields: Fields, grouping: account_pb2.UsageGrouping) -> Grouping | None:
    """A dimension or a label's key; None if it is no valid dimension."""
    if grouping.HasField("label_key"):
        if not grouping.label_key:
            fields.wrong("label_key", "must not be empty")
        return LabelKey(fields.text("label_key", MAX_LABEL_KEY))
    if not grouping.dimension:
        fields.wrong("dimension", "must not be USAGE_DIMENSION_UNSPECIFIED")
    return fields.enum("dimension", account_pb2.UsageDimension, Dimension)
