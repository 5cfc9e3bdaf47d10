"""The sources of settings: the command line, the environment and a TOML file. Unknown names in them are complained about."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

PREFIX = "CREDITMETER_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""The environment variable that names the TOML file, if no option does."""

DEFAULT = "default"

_OF_CLIENTS = ("ADDRESS", "TOKEN", "TOKEN_FILE", "TLS_SERVER_CA", "TLS_CLIENT_CERT", "TLS_CLIENT_KEY")
_OF_COMMANDS = {f"{PREFIX}DEBUG", CONFIG_VARIABLE, *(f"{PREFIX}{name}" for name in _OF_CLIENTS)}

_OF_KUBERNETES = re.compile(
    rf"{PREFIX}([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)"
)
"""Variables that Kubernetes sets in pods for a Service whose name is or begins with `creditmeter`
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
"""

_LINK = re.compile(r"(tcp|udp|sctp)://.*")
_CLOSE = 0.6


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and the source it came from."""

    value: Any
    origin: str


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def option_name(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


def from_options(values: Mapping[str, Any]) -> dict[str, Given]:
    """The settings that were typed as options. A value of None was not typed."""
    return {name: Given(value, f"option {option_name(name)}") for name, value in values.items() if value is not None}


def from_environment(environment: Mapping[str, str], known: Iterable[str]) -> dict[str, Given]:
    """The settings among the environment's variables, by their names. A variable that is empty counts as not set."""
    variables = {name: environment_name(name) for name in known}
    return {
        name: Given(environment[variable], f"environment {variable}")
        for name, variable in variables.items()
        if environment.get(variable)
    }


def from_file(path: Path) -> dict[str, Given]:
    """The settings in a TOML file, by its keys.

    Raises:
        ValueError: it cannot be read, or is no TOML.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the configuration file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the configuration file {path} cannot be read: it is not UTF-8") from error
    except (ValueError, RecursionError) as error:  # for deep nesting and huge numbers
        raise ValueError(f"the configuration file {path} cannot be read: it is not TOML: {error}") from error
    return {name: Given(value, f"file {path}") for name, value in table.items()}


def unknown_keys(given: Mapping[str, Given], known: Collection[str]) -> list[str]:
    """A complaint about each name that is no setting."""
    return [
        f"{name} ({each.origin}) is no setting: {_nearest(name, known)}" for name, each in given.items() if name not in known
    ]


def unknown_variables(environment: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A complaint about each variable that has the prefix of settings, in upper or lower case, and is none.

    Variables with this prefix that the commands or Kubernetes use are not complained about.
    """
    names = {environment_name(name): name for name in known}
    strangers = sorted(name for name in environment if name.upper().startswith(PREFIX) and name not in names)
    return [
        f"{name} in the environment is no setting: {_nearest(name, names, PREFIX)}"
        for name in strangers
        if not _is_of_others(name, environment[name])
    ]


def _is_of_others(name: str, value: str) -> bool:
    if name in _OF_COMMANDS or _OF_KUBERNETES.fullmatch(name):
        return True
    return name.endswith("_PORT") and _LINK.fullmatch(value) is not None


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A hint at the name that was probably meant. The common prefix does not count for likeness."""
    tails = {each.removeprefix(prefix).lower(): each for each in known}
    tail = name[len(prefix) :].lower().replace("-", "_")
    found = get_close_matches(tail, tails, n=1, cutoff=_CLOSE)
    return f"did you mean {tails[found[0]]}?" if found else "`creditmeter config show` lists all of them"
