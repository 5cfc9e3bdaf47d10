"""The server's settings, from the command line, the environment (CREDITMETER_…) and a TOML file, in that order.

They are read once, at start, into a frozen object. The model `Settings` defines all settings: the options, their help,
`creditmeter config` and the table in docs/operation.md are made from it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

from creditmeter.core.access import Scope
from creditmeter.journal.durability import Durability
from creditmeter.server import setting_sources as sources
from creditmeter.server.setting_sources import Given
from creditmeter.server.setting_values import (
    Count,
    Duration,
    Flag,
    Group,
    Listeners,
    Mode,
    PageAddress,
    PlanName,
    Scopes,
    Secret,
    Setting,
    checked_by,
    is_address,
    place_of,
    setting,
)
from creditmeter.sidecar.alerts.standard_webhooks import LONGEST_TIMEOUT_SECONDS, WebhookMisconfigured, check_url, read_secret

__all__ = ["ConfigError", "LogLevel", "RecallBy", "Settings", "is_address"]

DEFAULT_LISTEN = "127.0.0.1:50151"
SOCKET_NAME = "creditmeter.sock"


class RecallBy(Enum):
    """How a sidecar on PostgreSQL is notified of recalls: by NOTIFY or, for engines without it, by polling. On SQLite it always
    polls.
    """

    NOTIFY = "notify"
    POLL = "poll"


class Reflection(Enum):
    """Where server reflection answers: to callers of this machine and of Unix sockets, to all, or nowhere."""

    LOCAL = "local"
    ON = "on"
    OFF = "off"


class LogLevel(Enum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class ConfigError(Exception):
    """The settings cannot be used. Each of `problems` is a line that names a setting, where it came from and what to write."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a sidecar runs. Amounts of time are in seconds."""

    listen: Listeners = setting(
        (DEFAULT_LISTEN,),
        "ADDR",
        "Addresses to listen on, separated by commas: host:port (port 0: any free one) or unix:/path. The socket"
        " creditmeter.sock in the data directory comes beside them.",
    )
    insecure: Flag = setting(
        default=False,
        metavar="",
        meaning="Listen on addresses that others can reach although there is no TLS, or nothing tells who calls.",
    )
    tls_cert: Path | None = setting(
        None, "FILE", "The certificate of the TCP addresses, and those that sign it, in PEM. Read again when it changes."
    )
    tls_key: Path | None = setting(None, "FILE", "Its private key, in PEM, without a passphrase. Read again when it changes.")
    tls_client_ca: Path | None = setting(
        None, "FILE", "The authorities of callers' certificates, in PEM: without such a certificate nobody connects by TCP."
    )
    access_file: Path | None = setting(
        None,
        "FILE",
        "The tokens and certificates that may call, and what each may do: `creditmeter token` writes it. With it nobody calls"
        " by TCP without one. Read again when it changes.",
    )
    socket_scopes: Scopes = setting(
        tuple(Scope), "SCOPES", "What callers of Unix sockets may do without a token: meter, read, refund, admin, or none."
    )
    data_dir: Path = setting(
        Path("creditmeter-data"),
        "DIR",
        "Where the journal is, and with it what is not settled yet: it must outlive the process.",
    )
    new_identity: Flag = setting(
        default=False,
        metavar="",
        meaning="Start as a new sidecar where the journal of an earlier one is missing: what that had not settled is lost.",
    )
    socket_mode: Mode = setting(0o660, "MODE", "Who may connect to the Unix sockets: their permissions in octal digits.")
    socket_group: Group | None = setting(
        None,
        "GROUP",
        "The group of the Unix sockets and of a data directory that is made, by name or number.",
        without="the process's own",
    )
    central: str | None = setting(
        None,
        "URL",
        "The central store: sqlite:///PATH or postgresql://USER@HOST/NAME.",
        without="sqlite:///DATA_DIR/central.db",
        private=True,
    )
    rate_card: Path | None = setting(
        None, "FILE", "A TOML price list, in force until a published one takes effect.", without="the package's own"
    )
    enable_admin: Flag = setting(
        default=False,
        metavar="",
        meaning="Offer AdminService, which gives credit: to those who may connect to the Unix sockets, and over TCP to a token"
        " of the scope admin.",
    )
    admin_listen: Listeners | None = setting(
        None, "ADDR", "Addresses for AdminService alone, as `listen`: it is offered there, and nowhere else."
    )
    admin_socket_mode: Mode = setting(0o600, "MODE", "Who may connect to the Unix sockets among them.")
    auto_create_plan: PlanName | None = setting(None, "PLAN", "Open unknown accounts on first touch with this plan.")
    durability: Durability = setting(
        Durability.FULL, "HOW", "full, or process: a reply survives the death of the process, not of the machine."
    )
    lease_ttl: Duration = setting(
        600.0, "TIME", "How long a sidecar may authorise without hearing from the central store.", ge=1, le=86_400
    )
    max_hold_lifetime: Duration = setting(
        3_600.0, "TIME", "The longest a reservation may be held, extensions included.", ge=1, le=86_400
    )
    late_commit_window: Duration = setting(
        86_400.0, "TIME", "How long after its deadline a reservation may still be committed.", ge=0, le=30 * 86_400
    )
    max_open_reservations: Count = setting(
        1_000, "N", "For each account on this sidecar, unless the account says otherwise.", ge=1, le=100_000
    )
    settle_interval: Duration = setting(
        1.0, "TIME", "How often charges are posted. Less often while posting takes long: up to 2s apart.", ge=0.01, le=60
    )
    settlement_batch: Count = setting(
        64, "N", "Accounts in one transaction of the central store; 1 where it is sharded by account.", ge=1, le=1_000
    )
    recall: RecallBy = setting(
        RecallBy.NOTIFY,
        "HOW",
        "notify, or poll for engines that speak PostgreSQL's protocol but have no LISTEN/NOTIFY; SQLite is always polled.",
    )
    recall_timeout: Duration = setting(
        0.25,
        "TIME",
        "How long a request waits for credit that is idle on other sidecars, within its own deadline.",
        ge=0,
        le=60,
    )
    clock_step_patience: Duration = setting(
        30.0,
        "TIME",
        "How long a step of the central store's clock must last until it is believed; 0 believes it at once. An embedded"
        " store's clock is this machine's, and so is the time until another one has answered.",
        ge=0,
        le=3_600,
    )
    shutdown_grace: Duration = setting(10.0, "TIME", "How long a stop may take.", ge=0, le=600)
    health_listen: Listeners | None = setting(
        None, "ADDR", "Addresses for health probes, as `listen`: they serve nothing else, and never with TLS."
    )
    reflection: Reflection = setting(
        Reflection.LOCAL, "WHERE", "Where callers may list the RPCs: local (this machine and Unix sockets), on or off."
    )
    channelz: Flag = setting(
        default=False, metavar="", meaning="Show the open connections by gRPC's channelz, to callers of the scope admin."
    )
    metrics_listen: PageAddress | None = setting(
        None, "ADDR", "host:port where metrics are shown over plain HTTP; port 0 is any free one, which the ready line names."
    )
    alert_webhook_url: Annotated[str, checked_by(check_url)] | None = setting(
        None,
        "URL",
        "Where alerts of low credit are sent: https://…, or http://… within a network of your own.",
        private=True,
    )
    alert_webhook_secret: Annotated[Secret, checked_by(read_secret)] | None = setting(
        None,
        "SECRET",
        "What alerts are signed by: whsec_ and 24 to 64 random bytes in Base64. Everybody on the machine can read a command"
        " line: use the file or the environment.",
        private=True,
    )
    alert_webhook_secret_file: Path | None = setting(None, "FILE", "Or the file that the secret is in.")
    alert_webhook_timeout: Duration = setting(
        10.0, "TIME", "How long the receiver of alerts may take to answer.", ge=0.1, le=LONGEST_TIMEOUT_SECONDS
    )
    alert_webhook_private: Flag = setting(
        default=False,
        metavar="",
        meaning="Let alerts go to addresses that are not public: loopback or a private network.",
    )
    log_level: LogLevel = setting(LogLevel.INFO, "LEVEL", "The least that is logged on stderr, in lines of JSON.")

    _origins: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    @cache
    def known(cls) -> Mapping[str, Setting]:
        """All settings, by their names."""
        return MappingProxyType({each.name: Setting.of(each) for each in fields(cls)})

    @classmethod
    def load(cls, config_file: Path | None = None, **overrides: Any) -> Self:
        """Read the settings. An override that is None is left to the environment, the file and the defaults. Without
        `config_file` the environment may name one (CREDITMETER_CONFIG).

        Raises:
            ConfigError: the file cannot be read, or a setting is unknown or has a value that cannot be used.
        """
        environment, known = dict(os.environ), cls.known()
        problems = sources.unknown_variables(environment, known)
        written: dict[str, Given] = {}
        path = config_file or environment.get(sources.CONFIG_VARIABLE)
        try:
            written = sources.from_file(Path(path)) if path else {}
        except ValueError as error:
            problems.append(str(error))
        problems += sources.unknown_keys(written, known)
        given = {**written, **sources.from_environment(environment, known), **sources.from_options(overrides)}
        return cls._made(given, problems)

    @classmethod
    def _made(cls, given: Mapping[str, Given], problems: list[str]) -> Self:
        """The settings, unless there are problems already, or a value cannot be used."""
        values: dict[str, Any] = {}
        of_settings = {name: (each, given[name]) for name, each in cls.known().items() if name in given}
        for name, (each, found) in of_settings.items():
            try:
                values[name] = each.read(found.value)
            except ValueError as error:
                problems.append(_problem(name, found.origin, str(error)))
        if problems:
            raise ConfigError(*problems)
        made = cls(**values)
        object.__setattr__(made, "_origins", {name: found.origin for name, (_, found) in of_settings.items()})
        return made

    def origin(self, name: str) -> str:
        """Where a setting's value came from: `option --listen`, `environment CREDITMETER_LISTEN`, `file PATH` or `default`."""
        return self._origins.get(name, sources.DEFAULT)

    def problem(self, name: str, text: str) -> str:
        """A complaint about a setting that was found when it was used."""
        return _problem(name, self.origin(name), text)

    def webhook_key(self) -> bytes:
        """The key in the webhook's secret.

        Raises:
            ConfigError: there is no secret, there are two, or it cannot be read from its file.
        """
        secret, path = self.alert_webhook_secret, self.alert_webhook_secret_file
        if (secret is None) == (path is None):
            which = "either alert_webhook_secret or alert_webhook_secret_file"
            raise ConfigError(self.problem("alert_webhook_url", f"it needs a secret to sign by: set {which}"))
        try:
            return read_secret(secret.text if secret else _text_of(path or Path()))
        except (WebhookMisconfigured, ValueError) as error:
            text = str(error) if isinstance(error, ValueError) else f"the file {path} has no secret: {error}"
            raise ConfigError(self.problem("alert_webhook_secret_file", text)) from error

    @property
    def central_url(self) -> str:
        """The address of the central store."""
        return self.central or f"sqlite:///{self.data_dir.absolute() / 'central.db'}"

    @property
    def journal_path(self) -> Path:
        """The path of the journal."""
        return self.data_dir / "journal.db"

    @property
    def lock_path(self) -> Path:
        """The path of the file that a running sidecar has locked."""
        return self.data_dir / "lock"

    @property
    def socket_address(self) -> str:
        """The address of the socket in the data directory."""
        return f"unix:{self.data_dir.absolute() / SOCKET_NAME}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses that the sidecar listens on, each once; the socket in the data directory as `socket_address`."""
        return tuple({place_of(each): each for each in (*self.listen, self.socket_address)}.values())

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """The same, with the addresses of AdminService and of probes."""
        return (*self.addresses, *(self.admin_listen or ()), *(self.health_listen or ()))


def _text_of(path: Path) -> str:
    """The text of a file with a secret. A complaint never shows the content."""
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} has no secret: it is no plain text") from None


def _problem(name: str, origin: str, text: str) -> str:
    return f"{name} ({origin}): {text}"
