"""Addresses of a central store that are wrong, with the password `hunter2` or a part of it in an odd place."""

ODD_ADDRESSES = (
    "hunter2",
    "me:hunter2@db/x",
    "postgresql:me:hunter2@db/x",
    "postgresql://me:hunter2@db:port/x",
    "postgresql://me:hun/ter2@db:port",
    "postgresql://me:hunt:er2@db:port",
    "postgresql://me:un@hunter2@db/x",
    "postgresql://db:port/x?password=hunter2",
    "postgresql://db/x?password=hunter2&port=port",
    "postgresql:///x?host=me:hunter2@db",
)

PARTS = ("hunter2", "ter2", "er2")
""""None of this is to be shown."""
