"""The journal's tables.

`records` is the log: each record is what one decision changed, in the order in which they were taken. `image` has all that
could still change when the last image was made, account by account: reading it and the records after it gives back what was
acknowledged and can still change. The other records are looked up by the index (`index.py`), whose tables are `segments` and
`entries`. A record that the image covers is dropped once nothing in it can be asked for any more.

Every record and every part of the image has a checksum over its number, its account, its moment and its body (`records.py`). A
row that is gone leaves no checksum that is wrong, so `identity` says how many rows there must be: `image_parts` of the image,
`set_aside` of `quarantine` (`quarantine.py`), and `log_end`, a record that was on disk when `identity` was last written. The
index can be made anew, so its segments have a checksum of their own, and a sum of their entries (`reindexing.py`). What is
known of the time, and what credentials have spent, have tables that are made when they are first written (`kept_time.py`,
`kept_spending.py`).
"""

from collections.abc import Callable

APPLICATION_ID = 0x63726D6A
"""Kept in the file's `application_id`, which tells a journal from other programs' databases: `crmj` in ASCII."""

VERSION = 4
"""Kept in the file's `user_version`; 0 is a new file. Before version 4 checksums were shorter (`version_3.py`); before 3 there
was a table for each kind of thing (`older.py`).
"""

FIRST_WITH_RECORDS = 3
"""The version from which on a journal has records."""

Progress = Callable[[int, int], None]
"""Called on the way from an older version to this one, with how many rows were moved, and how many there are to move."""

RATE_CARDS = """
CREATE TABLE rate_cards (
    version TEXT PRIMARY KEY,
    body    BLOB NOT NULL
) WITHOUT ROWID;
"""

RECORDS = """
CREATE TABLE records (
    seq        INTEGER PRIMARY KEY,
    account_id TEXT    NOT NULL,
    written_at INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    body       BLOB    NOT NULL
);
CREATE TABLE image (
    part       INTEGER PRIMARY KEY,
    account_id TEXT    NOT NULL,
    written_at INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    body       BLOB    NOT NULL
);
CREATE TABLE quarantine (
    id         INTEGER PRIMARY KEY,
    origin     TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    account_id TEXT    NOT NULL,
    written_at INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    body       BLOB    NOT NULL
);
CREATE TABLE segments (
    number       INTEGER PRIMARY KEY,
    first_seq    INTEGER NOT NULL,
    entries      INTEGER NOT NULL,
    receipts     INTEGER NOT NULL,
    reservations INTEGER NOT NULL,
    charges      INTEGER NOT NULL,
    refunds      INTEGER NOT NULL,
    filter       BLOB    NOT NULL,
    checksum     INTEGER NOT NULL,
    entries_sum  INTEGER
);
"""

ENTRIES = """
CREATE TABLE entries (
    segment INTEGER NOT NULL,
    hash    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (segment, hash, seq)
) WITHOUT ROWID;
"""

TABLES = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
{RATE_CARDS}
{RECORDS}
{ENTRIES}
CREATE TABLE identity (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    sidecar_id    TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    pending_nonce TEXT    NOT NULL,
    clock         INTEGER NOT NULL,
    image_seq     INTEGER NOT NULL DEFAULT 0,
    image_parts   INTEGER NOT NULL DEFAULT 0,
    log_end       INTEGER NOT NULL DEFAULT 0,
    set_aside     INTEGER NOT NULL DEFAULT 0,
    checksum      INTEGER
);
"""
