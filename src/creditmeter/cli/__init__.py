"""The commands: `creditmeter serve` runs a sidecar, the others ask one, and `demo` and `replay` drive one."""

import os

# Without this gRPC would print log lines beside the one line for the operator. It is read when gRPC is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
