"""Measurements that are run by hand or, shortened, in CI: scripts/benchmark."""
