"""Metering: what a sidecar decides on its own, from its book of an account."""
