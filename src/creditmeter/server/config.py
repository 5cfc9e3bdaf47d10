"""The server's settings: from the command line, the environment (CREDITMETER_…), and a TOML file, in that order.

They are read once, at start, into a frozen object.
"""

import os
import tomllib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from creditmeter.core.webhooks import LONGEST_TIMEOUT_SECONDS, WebhookMisconfigured, check_url, read_secret
from creditmeter.journal.connection import Durability

DEFAULT_LISTEN = "127.0.0.1:50151"
SOCKET_NAME = "creditmeter.sock"
MAX_PORT = 65_535


class RecallBy(Enum):
    """How sidecars on PostgreSQL hear of recalls: NOTIFY, or by looking, for engines of its kind that have none. On SQLite they
    always look.
    """

    NOTIFY = "notify"
    POLL = "poll"


class LogLevel(Enum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class ConfigError(Exception):
    """The settings cannot be used; the message names what is wrong."""


class Settings(BaseSettings):
    """How a sidecar runs. Amounts of time are in seconds.

    `listen`: `host:port` (port 0: any free one) or `unix:/path`; the socket in the data directory comes beside them.
    `central`: `sqlite:///PATH` or `postgresql://…`; by default a SQLite file in the data directory.
    `metrics_listen`: `host:port` for Prometheus. The webhook's secret may stand in a file, which is read when it is used.
    """

    model_config = SettingsConfigDict(env_prefix="CREDITMETER_", frozen=True, extra="forbid", hide_input_in_errors=True)

    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    data_dir: Path = Path("creditmeter-data")
    central: str | None = None
    rate_card: Path | None = None
    enable_admin: bool = False
    auto_create_plan: str | None = None
    durability: Durability = Durability.FULL
    lease_ttl: float = Field(default=600, ge=1, le=86_400)
    max_hold_lifetime: float = Field(default=3_600, ge=1, le=86_400)
    late_commit_window: float = Field(default=86_400, ge=0, le=30 * 86_400)
    max_open_reservations: int = Field(default=1_000, ge=1, le=100_000)
    settle_interval: float = Field(default=1.0, ge=0.01, le=60)
    settlement_batch: int = Field(default=64, ge=1, le=1_000)
    recall: RecallBy = RecallBy.NOTIFY
    recall_timeout: float = Field(default=0.25, ge=0, le=60)
    shutdown_grace: float = Field(default=10, ge=0, le=600)
    metrics_listen: str | None = None
    alert_webhook_url: str | None = None
    alert_webhook_secret: SecretStr | None = None
    alert_webhook_secret_file: Path | None = None
    alert_webhook_timeout: float = Field(default=10, ge=0.1, le=LONGEST_TIMEOUT_SECONDS)
    log_level: LogLevel = LogLevel.INFO

    @classmethod
    def load(cls, config_file: Path | None = None, **overrides: Any) -> Self:
        """Read the settings. An override that is None is left to the environment, the file and the defaults.

        Raises:
            ConfigError: the file cannot be read, or a setting is unknown or has a value that cannot be used.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        from_file = _read(config_file) if config_file else {}
        in_environment = _names_in_environment(cls)
        try:
            return cls(**{name: value for name, value in from_file.items() if name not in in_environment} | given)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in error.errors())
            raise ConfigError("; ".join(problems)) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given counts first, then the environment; other sources are not read."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @field_validator("listen")
    @classmethod
    def _addresses(cls, listen: tuple[str, ...]) -> tuple[str, ...]:
        for address in listen:
            if not is_address(address):
                raise ValueError(f"{address!r} is no address: use host:port or unix:/path")
        return listen

    @field_validator("metrics_listen")
    @classmethod
    def _metrics_address(cls, address: str | None) -> str | None:
        if address is not None and (address.startswith("unix:") or not is_address(address)):
            raise ValueError(f"{address!r} is no address: use host:port")
        return address

    @field_validator("alert_webhook_url")
    @classmethod
    def _webhook_url(cls, url: str | None) -> str | None:
        if url is not None:
            _sound(check_url, url)
        return url

    @field_validator("alert_webhook_secret")
    @classmethod
    def _webhook_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            _sound(read_secret, secret.get_secret_value())
        return secret

    def webhook_key(self) -> bytes:
        """The key in the webhook's secret.

        Raises:
            ConfigError: there is no secret, there are two, or it cannot be read from its file.
        """
        secret, path = self.alert_webhook_secret, self.alert_webhook_secret_file
        if (secret is None) == (path is None):
            raise ConfigError("alert_webhook_url needs a secret to sign by: alert_webhook_secret or alert_webhook_secret_file")
        try:
            return read_secret(secret.get_secret_value() if secret else _text_of(path or Path()))
        except WebhookMisconfigured as error:
            raise ConfigError(f"the file {path} has no secret: {error}") from error

    @property
    def central_url(self) -> str:
        """Where the central store is."""
        return self.central or f"sqlite:///{self.data_dir.absolute() / 'central.db'}"

    @property
    def journal_path(self) -> Path:
        """Where the journal is."""
        return self.data_dir / "journal.db"

    @property
    def socket_address(self) -> str:
        """The sidecar's own socket."""
        return f"unix:{self.data_dir.absolute() / SOCKET_NAME}"


def _sound(check: Callable[[str], object], text: str) -> None:
    """Have what a check says told as pydantic tells things."""
    try:
        check(text)
    except WebhookMisconfigured as error:
        raise ValueError(str(error)) from error


def _text_of(path: Path) -> str:
    """What is in a file with a secret; a complaint shows nothing of it."""
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"the file {path} has no secret: it is no plain text") from None


def is_address(text: str) -> bool:
    """Whether the text is `host:port` or `unix:/path`."""
    if text.startswith("unix:"):
        return text.removeprefix("unix:").startswith("/")
    host, colon, port = text.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and int(port) <= MAX_PORT


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error}") from error


def _names_in_environment(settings: type[Settings]) -> set[str]:
    """The settings that the environment sets: it counts before the file."""
    names = settings.model_fields
    return {name for name in names if f"CREDITMETER_{name.upper()}" in os.environ}
