"""The journal: the sidecar's own SQLite file, in which every yes is written before it is said."""
