"""Of each line of history the kinds and sources of its grants, to filter by; grants by age; charges by their commit.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KIND_BITS = "CASE {} WHEN 'DAILY' THEN 1 WHEN 'MONTHLY' THEN 2 WHEN 'PERMANENT' THEN 4 ELSE 0 END"
_SOURCE_BITS = (
    "CASE grants.source WHEN 'PLAN' THEN 1 WHEN 'REFERRAL' THEN 2 WHEN 'PROMOTION' THEN 4 WHEN 'BONUS' THEN 8"
    " WHEN 'PURCHASE' THEN 16 WHEN 'GOODWILL' THEN 32 ELSE 0 END"
)
_DRAWS = {
    "sqlite": ("json_each(history.draws) AS draw", "json_extract(draw.value, '$.{}')"),
    "postgresql": ("jsonb_array_elements(history.draws::jsonb) AS draw(value)", "draw.value ->> '{}'"),
}


def upgrade() -> None:
    for name in ("kinds", "sources"):
        op.add_column("history", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.create_index("grants_by_creation", "grants", ["account_id", "created_at", "grant_id"])
    op.create_index("charges_by_commit", "charges", ["account_id", "committed_at", "charge_id"])
    _say_kinds_and_sources_of_what_is_there()


def _say_kinds_and_sources_of_what_is_there() -> None:
    """A line names its own grant and those that its draws are on. Each kind and source counts once."""
    draws, field = _DRAWS[op.get_bind().dialect.name]
    kind_of_draw = _KIND_BITS.format(field.format("kind"))
    source_of = (
        "(SELECT " + _SOURCE_BITS + " FROM grants WHERE grants.account_id = history.account_id AND grants.grant_id = {})"
    )
    of_draws = "UPDATE history SET {0} = (SELECT coalesce(sum(bit), 0) FROM (SELECT DISTINCT {1} AS bit FROM {2}) AS bits)"
    for column, bit in (("kinds", kind_of_draw), ("sources", source_of.format(field.format("grant_id")))):
        op.execute(sa.text(of_draws.format(column, bit, draws) + " WHERE draws <> '[]'"))
    op.execute(
        sa.text(
            f"UPDATE history SET kinds = {_KIND_BITS.format('kind')},"
            f" sources = coalesce({source_of.format('history.grant_id')}, 0) WHERE grant_id IS NOT NULL"
        )
    )


def downgrade() -> None:
    op.drop_index("charges_by_commit", "charges")
    op.drop_index("grants_by_creation", "grants")
    for name in ("sources", "kinds"):
        op.drop_column("history", name)
