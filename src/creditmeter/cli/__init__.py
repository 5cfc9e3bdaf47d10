"""The commands: `creditmeter serve` runs a sidecar, the others ask one, and `demo` and `replay` drive one."""
