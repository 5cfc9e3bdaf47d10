"""Reading AccountService's requests: which history and which usage is asked for."""

from creditmeter.core.credit.grants import GrantKind, GrantSource
from creditmeter.core.credit.history import EntryType, HistoryFilter, LabelFilter
from creditmeter.core.ids import AccountId
from creditmeter.core.reports.usage_summary import MAX_GROUPINGS, Dimension, Grouping, LabelKey, UsageQuery
from creditmeter.server.fields import MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_NAME, Fields
from creditmeter.v1 import account_pb2, grants_pb2


def history_filter(fields: Fields, request: account_pb2.ListHistoryRequest) -> HistoryFilter:
    """Which lines of history to show."""
    types = [fields.enum("types", account_pb2.HistoryType, each, "HISTORY_TYPE_") for each in dict.fromkeys(request.types)]
    kinds = [fields.enum("kinds", grants_pb2.GrantKind, each, "GRANT_KIND_") for each in dict.fromkeys(request.kinds)]
    for name, values, named in (("types", types, request.types), ("kinds", kinds, request.kinds)):
        if 0 in named and None in values:
            fields.wrong(name, "must not name the unspecified one")
    source = fields.enum("source", grants_pb2.GrantSource, request.source, "GRANT_SOURCE_")
    wanted = HistoryFilter(
        types=tuple(EntryType(each) for each in types if each),
        kinds=tuple(GrantKind(each) for each in kinds if each),
        source=GrantSource(source) if source else None,
        label=_label(fields, request.label) if request.HasField("label") else None,
        action=fields.text("action", request.action, MAX_NAME),
        model=fields.text("model", request.model, MAX_NAME),
        tool=fields.text("tool", request.tool, MAX_NAME),
        start=fields.bound("start", request, request.start),
        end=fields.bound("end", request, request.end),
    )
    _check_order(fields, wanted)
    return wanted


def usage_query(fields: Fields, request: account_pb2.SummarizeUsageRequest) -> UsageQuery:
    """Which charges to sum up, and by what."""
    wanted = UsageQuery(
        account_id=AccountId(fields.id("account_id", request.account_id)),
        start=fields.bound("start", request, request.start),
        end=fields.bound("end", request, request.end),
        group_by=_groupings(fields, request),
    )
    _check_order(fields, wanted)
    return wanted


def _check_order(fields: Fields, wanted: HistoryFilter | UsageQuery) -> None:
    if wanted.start is not None and wanted.end is not None and wanted.end < wanted.start:
        fields.wrong("end", "must not be before start")


def _label(fields: Fields, label: account_pb2.LabelMatch) -> LabelFilter:
    if not label.key:
        fields.wrong("label.key", "is missing")
    value = fields.text("label.value", label.value, MAX_LABEL_VALUE) if label.HasField("value") else None
    return LabelFilter(fields.text("label.key", label.key, MAX_LABEL_KEY), value)


def _groupings(fields: Fields, request: account_pb2.SummarizeUsageRequest) -> list[Grouping]:
    """What to group by, as far as it is right."""
    if len(request.group_by) > MAX_GROUPINGS:
        fields.wrong("group_by", f"must be at most {MAX_GROUPINGS}")
    found: dict[Grouping, None] = {}
    for number, each in enumerate(request.group_by):
        name = f"group_by[{number}]"
        grouping = _grouping(fields, name, each)
        if grouping in found:
            fields.wrong(name, "is named before: each at most once")
        elif grouping is not None:
            found[grouping] = None
    return list(found)


def _grouping(fields: Fields, name: str, grouping: account_pb2.UsageGrouping) -> Grouping | None:
    """One thing to group by; None if it is none."""
    match grouping.WhichOneof("by"):
        case "label_key":
            if not grouping.label_key:
                fields.wrong(f"{name}.label_key", "must not be empty")
            return LabelKey(fields.text(f"{name}.label_key", grouping.label_key, MAX_LABEL_KEY))
        case "dimension":
            if not grouping.dimension:
                fields.wrong(f"{name}.dimension", "must not be USAGE_DIMENSION_UNSPECIFIED")
            named = fields.enum(f"{name}.dimension", account_pb2.UsageDimension, grouping.dimension, "USAGE_DIMENSION_")
            return Dimension(named) if named else None
        case _:
            fields.wrong(name, "must name a dimension or a label_key")
            return None
