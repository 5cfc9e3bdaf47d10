"""The tests: they mirror src/, and lean on the real thing (SQLite, PostgreSQL, gRPC, processes) throughout."""
