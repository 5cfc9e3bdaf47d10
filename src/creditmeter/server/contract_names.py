"""What the contract calls the fields that the core calls otherwise."""

CONTRACT_NAMES = {
    "amount": "amount_microcredits",
    "overdraft_limit": "overdraft_limit_microcredits",
    "max_reservation": "max_reservation_microcredits",
    "offline_allowance": "offline_allowance_microcredits",
    "update": "account",
}
"""The names of the core that differ, wherever in a request they stand. Everything else is called the same."""


def contract_path(path: str) -> str:
    """The path of a request's field in the contract, by its path in the core: `amount_microcredits` for `amount`."""
    return ".".join(CONTRACT_NAMES.get(name, name) for name in path.split("."))
