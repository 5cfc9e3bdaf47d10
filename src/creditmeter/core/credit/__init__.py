"""Credit: accounts, grants, reservations, charges and leases, as both the sidecar and the central store know them."""
