"""Names of fields that differ between the core and the contract."""

CONTRACT_NAMES = {
    "amount": "amount_microcredits",
    "overdraft_limit": "overdraft_limit_microcredits",
    "max_reservation": "max_reservation_microcredits",
    "offline_allowance": "offline_allowance_microcredits",
    "update": "account",
    "served": "",
}
"""The contract's name for each of the core's that differs, at any place in a request. All other names are the same.

A value whose name is empty is no message of the contract: its fields are those of the message around it.
"""


def contract_path(path: str) -> str:
    """The path of a request's field in the contract, by its path in the core: `amount_microcredits` for `amount`."""
    return ".".join(filter(None, (CONTRACT_NAMES.get(name, name) for name in path.split("."))))
