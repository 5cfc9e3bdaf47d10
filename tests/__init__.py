"""The tests: they mirror src/, and lean on the real thing (SQLite, PostgreSQL, gRPC, processes) throughout."""

import os

# gRPC prepares for forks unless told not to, and where it cannot the new process crashes. Tests fork only to start programs.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
