"""The indexes of some of a table's rows.

Each engine has an option of its own for them, and with the first option SQLAlchemy loads that engine's dialect, both of them
here: 3 MB and a twentieth of a second. So only those import this who make or compare a schema; a running sidecar does not.
"""

from sqlalchemy import ColumnElement, Index

from creditmeter.central.schema import tables

metadata = tables.metadata
"""All tables with all of their indexes, once this module is imported."""

_grants, _leases, _charges = tables.grants.c, tables.leases.c, tables.charges.c


def _index(name: str, rows: ColumnElement[bool], *columns: ColumnElement[object]) -> None:
    """Add an index of these rows to the tables."""
    Index(name, *columns, sqlite_where=rows, postgresql_where=rows)


_index(
    "grants_with_credit",
    tables.IS_OPEN,
    _grants.account_id,
    _grants.kind,
    tables.GRANT_END,
    _grants.effective_at,
    _grants.grant_id,
)
_index("grants_to_come", tables.IS_TO_COME, _grants.account_id, _grants.effective_at)
_index(
    "grants_by_beginning",
    tables.HAS_CREDIT,
    _grants.account_id,
    _grants.kind,
    _grants.effective_at,
    _grants.remaining_microcredits,
)
_index("grants_voided", tables.IS_VOIDED_WITH_CREDIT, _grants.account_id)
_index("leases_open", _leases.closed.is_(False), _leases.account_id)
_index("leases_open_by_sidecar", _leases.closed.is_(False), _leases.sidecar_id)
_index("leases_by_loss", tables.IS_COUNTED, _leases.lost_after)
_index("leases_uncounted", tables.IS_UNCOUNTED, _leases.reclaim_at)
_index("leases_closed", _leases.closed.is_(True), _leases.ends_at)
_index("charges_with_debt", tables.OWES_DEBT, _charges.account_id)
