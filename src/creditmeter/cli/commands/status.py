"""`creditmeter status`: the state of a sidecar, by what it knows itself."""

from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration

from creditmeter.cli.connection import ask
from creditmeter.cli.options import Address, AsJson
from creditmeter.cli.output import counted, in_largest_unit, json_of, moment, print_json, word
from creditmeter.cli.screen import print_table, table
from creditmeter.client.stubs import call
from creditmeter.core.amounts import format_credits
from creditmeter.v1 import admin_pb2

_KIB = 1024


def status(address: Address = None, as_json: AsJson = False) -> None:
    """Say how the sidecar is: its state, its version, the central store, its journal, and what it has to do with.

    It needs no central store, and answers while the sidecar stops.
    """
    reply = ask(address, lambda client: call(client.admin.GetStatus, admin_pb2.GetStatusRequest()))
    if as_json:
        print_json(json_of(reply))
    else:
        _print_status(reply)


def _print_status(found: admin_pb2.GetStatusResponse) -> None:
    shown = table("what", "status")
    for name, value in _lines(found):
        shown.add_row(name, value)
    print_table(shown, with_times=True)


def _lines(found: admin_pb2.GetStatusResponse) -> Iterator[tuple[str, str]]:
    yield "sidecar", found.sidecar_id
    yield "state", word(admin_pb2.ServingState, found.state).replace("_", " ")
    yield "version", found.version
    yield "epoch", str(found.epoch) if found.epoch else "not registered yet"
    yield "running", f"{in_largest_unit(found.uptime.ToSeconds())}, since {moment(found, 'started_at')}"
    yield from (("listens on", each) for each in found.addresses)
    yield "central store", "reachable" if found.central_reachable else "not reachable"
    yield "last answer", moment(found, "central_seen_at")
    yield "its clock", _offset(found.central_clock_offset) if found.HasField("central_clock_offset") else "-"
    yield "rate card", found.rate_card_version or "-"
    yield "journal", f"{-(-found.journal_bytes // _KIB):,} KiB"
    yield "accounts", f"{found.account_count:,}"
    yield "open holds", f"{found.open_reservation_count:,}, of {format_credits(found.held_microcredits)} credits"
    yield "leases", f"{found.lease_count:,}, of {format_credits(found.leased_microcredits)} credits"
    yield "not settled", f"{found.unposted_count:,}, of {format_credits(found.unposted_microcredits)} credits"
    yield "oldest of them", moment(found, "oldest_unposted_at")
    if found.quarantined_account_count:
        yield "in quarantine", counted(found.quarantined_account_count, "account")
    yield from (("", each) for each in found.quarantined_account_ids)
    kept = (found.reservation_count, found.charge_count, found.refund_count, found.receipt_count)
    names = ("reservation", "charge", "refund", "receipt")
    yield "remembers", ", ".join(counted(count, name) for count, name in zip(kept, names, strict=True))


def _offset(span: Duration) -> str:
    """The offset of a clock, in milliseconds, as text."""
    milliseconds = span.ToMilliseconds()
    if not milliseconds:
        return "as here"
    return f"{abs(milliseconds):,} ms {'ahead' if milliseconds > 0 else 'behind'}"
