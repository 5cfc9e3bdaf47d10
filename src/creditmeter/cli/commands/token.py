"""`creditmeter token`: gives callers rights, by a token or by the name in their certificate, and takes them back."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import time
from typing import Annotated

import typer

from creditmeter.cli.connection import load_settings
from creditmeter.cli.exits import CommandFailed, ExitCode
from creditmeter.cli.options import AsJson, read_credits, read_moment
from creditmeter.cli.output import print_json
from creditmeter.cli.screen import print_lines, print_table, say, table
from creditmeter.cli.times import short_time
from creditmeter.core.access import (
    ID_BYTES,
    SECRET_BYTES,
    Accounts,
    Credential,
    Credentials,
    Rights,
    Scope,
    digest_of,
    new_credential_id,
    new_token,
)
from creditmeter.core.amounts import Microcredits, format_credits
from creditmeter.core.ids import AccountId, is_id
from creditmeter.core.instants import SECOND, Instant, from_datetime, to_datetime

commands = typer.Typer(help="Say who may call a sidecar: tokens and certificates, and what each may do.")

File = Annotated[
    Path | None,
    typer.Option(
        "--access-file", metavar="FILE", help="The access file. Default: the setting access_file.", show_default=False
    ),
]
DailyLimit = Annotated[
    int | None,
    typer.Option(
        parser=read_credits,
        metavar="CREDITS",
        help="The most that its calls may cost on a UTC day, at each sidecar. Default: no limit.",
        show_default=False,
    ),
]
MOST_NAME = 128


@commands.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, for lists and refusals.", show_default=False)],
    scopes: Annotated[list[Scope], typer.Option("--scope", help="What it may do; may be repeated.", show_default=False)],
    accounts: Annotated[
        list[str],
        typer.Option("--account", metavar="ACCOUNT", help="Only for this account; may be repeated.", show_default=False),
    ] = [],  # noqa: B006 - typer makes a new one for each call
    prefixes: Annotated[
        list[str],
        typer.Option("--account-prefix", metavar="TEXT", help="Only for accounts whose ids begin so.", show_default=False),
    ] = [],  # noqa: B006 - as above
    expires_at: Annotated[
        datetime | None, typer.Option(parser=read_moment, metavar="TIME", help="Until when. Default: until it is revoked.")
    ] = None,
    daily_limit: DailyLimit = None,
    certificate: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="No token: a name in the certificate that the caller shows (tls_client_ca)."),
    ] = None,
    access_file: File = None,
    as_json: AsJson = False,
) -> None:
    """Make a token, and print it: only its SHA-256 is stored, so this is the one time that it is shown.

    The file is made if it is missing. A running sidecar knows the token at once.
    """
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable():
        raise typer.BadParameter(f"a name has 1 to {MOST_NAME} printable characters", param_hint="NAME")
    rights = Rights(name, frozenset(scopes), _accounts(accounts, prefixes))
    made, token = _made(rights, certificate, expires_at, daily_limit)
    _change(access_file, lambda known: Credentials([*known.known, made]))
    if as_json:
        print_json({"id": made.credential_id} | ({"token": token} if token else {}))
        return
    print_lines(token or made.credential_id)
    if token:
        say(f"This is the token of {name}, with the id {made.credential_id}. It is not shown again.")


@commands.command("list")
def list_them(access_file: File = None, as_json: AsJson = False) -> None:
    """List who may call, newest first. Tokens themselves are stored nowhere."""
    from creditmeter.forms.access import AccessFileError  # noqa: PLC0415 - no other command reads the file
    from creditmeter.server.access.opening import credentials_in  # noqa: PLC0415 - as above

    try:
        known = credentials_in(_path(access_file)).known
    except AccessFileError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    if as_json:
        print_json({"credentials": [_document(each) for each in reversed(known)]})
        return
    columns = ("id", "name", "scopes", "accounts", "daily limit", "shows", "expires")
    shown = table(*columns, right=("daily limit",), ids=("id",), times=("expires",), goes=("name", "shows"))
    for each in reversed(known):
        expires = "-" if each.expires_at is None else short_time(to_datetime(each.expires_at))
        shows = each.certificate or "a token"
        limit = "-" if each.daily_limit is None else format_credits(each.daily_limit)
        shown.add_row(each.credential_id, each.rights.name, _scopes(each), _shown_accounts(each), limit, shows, expires)
    print_table(shown, empty="nobody: `creditmeter token create` makes a token")


@commands.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID", help="The id, as `list` shows it.", show_default=False)],
    access_file: File = None,
) -> None:
    """Take a token, or the rights of a certificate, back. A running sidecar refuses it within a second, on open streams too."""

    def without(known: Credentials) -> Credentials:
        left = [each for each in known.known if each.credential_id != which]
        if len(left) == len(known.known):
            raise CommandFailed(f"there is no token with the id {which}: `creditmeter token list` shows them")
        return Credentials(left)

    _change(access_file, without)
    print_lines(f"{which} is revoked")


def _made(
    rights: Rights, certificate: str | None, expires_at: datetime | None, daily_limit: int | None
) -> tuple[Credential, str]:
    """A new credential and its token, which is empty for a certificate."""
    if certificate is not None and not (certificate and certificate.isprintable()):
        raise typer.BadParameter("it is no name that a certificate has", param_hint="--certificate")
    credential_id = new_credential_id(os.urandom(ID_BYTES))
    token = "" if certificate else new_token(credential_id, os.urandom(SECRET_BYTES))
    made = Credential(
        credential_id,
        rights,
        digest_of(token) if token else b"",
        certificate or "",
        None if expires_at is None else from_datetime(expires_at),
        Instant(int(time()) * SECOND),
        None if daily_limit is None else Microcredits(daily_limit),
    )
    if not made.is_valid(made.created_at):
        raise typer.BadParameter("it is over: name a moment to come", param_hint="--expires-at")
    return made, token


def _path(access_file: Path | None) -> Path:
    path = load_settings(access_file=access_file).access_file
    if path is None:
        raise CommandFailed("name the file: --access-file FILE, or the setting access_file", ExitCode.USAGE)
    return path


def _change(access_file: Path | None, changed: Callable[[Credentials], Credentials]) -> None:
    from creditmeter.forms.access import AccessFileError  # noqa: PLC0415 - no other command reads the file
    from creditmeter.server.access.access_file import change  # noqa: PLC0415 - as above

    path = _path(access_file)
    try:
        change(path, changed)
    except AccessFileError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    except BlockingIOError:
        raise CommandFailed(f"another command changes {path}: try again") from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from error


def _accounts(names: list[str], prefixes: list[str]) -> Accounts | None:
    wrong = next((each for each in (*names, *prefixes) if not is_id(each)), None)
    if wrong is not None:
        raise typer.BadParameter(f"{wrong!r} is no account's id, nor the beginning of one: printable ASCII without spaces")
    return Accounts(frozenset(map(AccountId, names)), tuple(prefixes)) if names or prefixes else None


def _document(credential: Credential) -> dict[str, object]:
    accounts = credential.rights.accounts
    return {
        "id": credential.credential_id,
        "name": credential.rights.name,
        "scopes": _scopes(credential).split(","),
        "accounts": None if accounts is None else sorted(accounts.names),
        "account_prefixes": None if accounts is None else list(accounts.prefixes),
        "certificate": credential.certificate or None,
        "created_at": _moment(credential.created_at),
        "expires_at": None if credential.expires_at is None else _moment(credential.expires_at),
        "daily_limit_microcredits": credential.daily_limit,
    }


def _scopes(credential: Credential) -> str:
    return ",".join(each.value for each in Scope if each in credential.rights.scopes)


def _shown_accounts(credential: Credential) -> str:
    accounts = credential.rights.accounts
    return "all" if accounts is None else ",".join([*sorted(accounts.names), *(f"{each}…" for each in accounts.prefixes)])


def _moment(at: Instant) -> str:
    return to_datetime(at).isoformat().replace("+00:00", "Z")
