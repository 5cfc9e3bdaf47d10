"""The gRPC contract, generated from proto/creditmeter/v1 by scripts/generate-stubs. Do not edit by hand."""
