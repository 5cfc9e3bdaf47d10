"""The journal's tables.

Each row is the newest version of one thing, as JSON in `body`, in one of the stored forms; the other columns are what rows are
found by. Applying all rows to empty books gives back the state that was acknowledged.
"""

APPLICATION_ID = 0x63726D6A
"""Kept in the file's `application_id`, which tells a journal from other programs' databases: `crmj` in ASCII."""

VERSION = 2
"""Kept in the file's `user_version`; 0 is a new file."""

_RATE_CARDS = """
CREATE TABLE rate_cards (
    version TEXT PRIMARY KEY,
    body    BLOB NOT NULL
) WITHOUT ROWID;
"""

RATE_CARDS_SINCE = 2
"""The version from which on there is a table of rate cards."""

UPGRADES = {1: f"{_RATE_CARDS} PRAGMA user_version = 2;"}
"""What brings a file of an older version to the next one."""

TABLES = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
{_RATE_CARDS}
CREATE TABLE identity (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    sidecar_id    TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    pending_nonce TEXT    NOT NULL,
    clock         INTEGER NOT NULL
);
CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    body       BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE leases (
    lease_id   TEXT PRIMARY KEY,
    body       BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE reservations (
    reservation_id TEXT PRIMARY KEY,
    body           BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE charges (
    charge_id TEXT PRIMARY KEY,
    body      BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE refunds (
    refund_id TEXT PRIMARY KEY,
    body      BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE receipts (
    account_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    kind       TEXT NOT NULL,
    request    BLOB NOT NULL,
    reply      BLOB NOT NULL,
    PRIMARY KEY (account_id, request_id)
) WITHOUT ROWID;
"""
