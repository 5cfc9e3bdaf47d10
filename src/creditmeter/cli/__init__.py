"""The commands: `creditmeter serve` runs a sidecar, the others ask one, and `demo` and `replay` drive one."""

import os

# gRPC's own log lines would stand beside the one line that an operator is told. It reads this when it is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
