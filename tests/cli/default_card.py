"""The rate card that comes with the sidecar."""

from creditmeter.catalog.bundled import bundled_price_list

LIST = bundled_price_list().version
DEFAULT = f"default-2026-12+{LIST}"
