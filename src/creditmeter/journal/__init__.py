"""The journal: the sidecar's own SQLite file, to which every change is written before its reply is sent."""
