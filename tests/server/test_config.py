"""Settings: where they come from, what may be written, and what is said of what may not."""

from pathlib import Path

import pytest

from creditmeter.server.config import ConfigError, Settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A TOML file, yet empty."""
    path = tmp_path / "creditmeter.toml"
    path.touch()
    return path


def problems(config: Path | None = None, **given: object) -> tuple[str, ...]:
    """What is wrong with settings."""
    with pytest.raises(ConfigError) as refused:
        Settings.load(config, **given)
    assert str(refused.value) == "; ".join(refused.value.problems)
    return refused.value.problems


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    """Each value knows where it came from."""
    file.write_text("lease_ttl = 1\nsettle_interval = 2\nshutdown_grace = 3\n")
    monkeypatch.setenv("CREDITMETER_LEASE_TTL", "10")
    monkeypatch.setenv("CREDITMETER_SETTLE_INTERVAL", "20")
    found = Settings.load(file, lease_ttl="100", settle_interval=None)
    assert (found.lease_ttl, found.settle_interval, found.shutdown_grace) == (100, 20, 3)
    assert found.origin("lease_ttl") == "option --lease-ttl"
    assert found.origin("settle_interval") == "environment CREDITMETER_SETTLE_INTERVAL"
    assert found.origin("shutdown_grace") == f"file {file}"
    assert found.origin("recall") == "default"


def test_the_environment_names_the_file(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    """Unless an option does."""
    file.write_text("settle_interval = 2\n")
    (other := tmp_path / "other.toml").write_text("settle_interval = 3\n")
    monkeypatch.setenv("CREDITMETER_CONFIG", str(file))
    assert Settings.load().settle_interval == 2
    assert Settings.load(other).settle_interval == 3


@pytest.mark.parametrize("text", ['"127.0.0.1:0,unix:/s"', '" 127.0.0.1:0 , unix:/s "', '["127.0.0.1:0", "unix:/s"]'])
def test_lists_in_a_file(file: Path, text: str) -> None:
    """Text with commas, or a list."""
    file.write_text(f"listen = {text}\n")
    assert Settings.load(file).listen == ("127.0.0.1:0", "unix:/s")


def test_lists_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text with commas; an option may be repeated as well."""
    monkeypatch.setenv("CREDITMETER_LISTEN", "127.0.0.1:0")
    assert Settings.load().listen == ("127.0.0.1:0",)
    monkeypatch.setenv("CREDITMETER_LISTEN", "127.0.0.1:0, unix:/s")
    assert Settings.load().listen == ("127.0.0.1:0", "unix:/s")
    assert Settings.load(None, listen=["a:1,b:2", "c:3"]).listen == ("a:1", "b:2", "c:3")


DURATIONS = [name for name, field in Settings.known().items() if isinstance(field.default, float)]


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_everywhere(monkeypatch: pytest.MonkeyPatch, file: Path, name: str) -> None:
    """Numbers of seconds, or text with units: in each source, for each of them."""
    for written in ("2", "2.0", '"2"', '"2s"', '"2000ms"'):
        file.write_text(f"{name} = {written}\n")
        assert getattr(Settings.load(file), name) == 2
    for written in ("2", "2s", "2000ms"):
        assert getattr(Settings.load(None, **{name: written}), name) == 2
        monkeypatch.setenv(f"CREDITMETER_{name.upper()}", written)
        assert getattr(Settings.load(), name) == 2
        monkeypatch.delenv(f"CREDITMETER_{name.upper()}")
    for written in ("soon", "true", "-1", "nan", "1e9", "99999d"):
        (problem,) = problems(None, **{name: written})
        assert problem.startswith(f"{name} (option --{name.replace('_', '-')}): {written!r} ")
        assert "write" in problem
    for written in ("inf", "nan", f"1{'0' * 400}", "[]"):
        file.write_text(f"{name} = {written}\n")
        assert "write" in problems(file)[0]


WRONG = {
    "listen": "everywhere",
    "insecure": "perhaps",
    "socket_scopes": "meter,write",
    "admin_listen": "everywhere",
    "admin_socket_mode": "u=rw",
    "health_listen": "everywhere",
    "reflection": "perhaps",
    "channelz": "perhaps",
    "socket_mode": "u=rw",
    "socket_group": "²",  # a digit, and no number
    "enable_admin": "perhaps",
    "alert_webhook_private": "perhaps",
    "new_identity": "perhaps",
    "auto_create_plan": "two words",
    "durability": "some",
    "max_open_reservations": "many",
    "settlement_batch": "0",
    "recall": "shout",
    "metrics_listen": "unix:/s",
    "alert_webhook_url": "ftp://example.com",
    "alert_webhook_secret": "whsec_short",
    "log_level": "loud",
} | dict.fromkeys(DURATIONS, "soon")


@pytest.mark.parametrize("name", Settings.known())
def test_a_wrong_value_names_the_setting_and_its_source(monkeypatch: pytest.MonkeyPatch, file: Path, name: str) -> None:
    """And says what to write: for text of the wrong form, and for what is no text at all."""
    variable = f"CREDITMETER_{name.upper()}"
    if name in WRONG:
        monkeypatch.setenv(variable, WRONG[name])
        (problem,) = problems()
        assert problem.startswith(f"{name} (environment {variable}): ")
        monkeypatch.delenv(variable)
    file.write_text(f"[{name}]\nno = 'table'\n")
    (problem,) = problems(file)
    assert problem.startswith(f"{name} (file {file}): ")
    for value in ("", "a\0b", "a\nb"):
        (problem,) = problems(None, **{name: value})
        assert problem.startswith(f"{name} (option --{name.replace('_', '-')}): write ")


def test_whatever_takes_any_text_is_known() -> None:
    """What can be checked is checked."""
    free = {"data_dir", "central", "rate_card", "alert_webhook_secret_file", "access_file"}
    free |= {"tls_cert", "tls_key", "tls_client_ca"}
    assert set(Settings.known()) - set(WRONG) == free


@pytest.mark.parametrize("value", ["4294967295", "99999999999", "9" * 5_000, "-1", "٣"])
def test_a_group_that_there_cannot_be(value: str) -> None:
    """The largest number means none to the system."""
    assert "write a group's name" in problems(None, socket_group=value)[0]
    assert Settings.load(None, socket_group="4294967294").socket_group == "4294967294"


@pytest.mark.parametrize(
    "text", [r"unix:/s\u0000b", r"unix:/s\nb", "", f"unix:/{'x' * 107}", f"a:{'9' * 5_000}", "a:65536", "a:٣"]
)
def test_each_of_a_list_is_checked(file: Path, text: str) -> None:
    """In whichever place it stands, and in text with commas too."""
    for written in (f'["a:1", "{text}"]', f'["a:1,{text}"]', f'"a:1,{text}"'):
        file.write_text(f"listen = {written}\n")
        (problem,) = problems(file)
        assert problem.startswith(f"listen (file {file}): ")
        assert "write" in problem or "use host:port" in problem or "choose a shorter one" in problem


@pytest.mark.parametrize("value", ["true", "660", "0o660", '"rw"', '"01777"', '"068"'])
def test_a_mode_is_text_in_octal_digits(file: Path, value: str) -> None:
    """A number in TOML would mean something else than it looks."""
    file.write_text(f"socket_mode = {value}\n")
    assert "octal digits as text" in problems(file)[0]


def test_a_count_is_no_flag(file: Path) -> None:
    """Nor is it part of a number."""
    file.write_text("settlement_batch = true\n")
    assert "write a whole" in problems(file)[0]
    file.write_text("settlement_batch = 1.5\n")
    assert "write a whole number from 1 to 1000" in problems(file)[0]


@pytest.mark.parametrize(
    ("words", "meant"), [(("true", "YES", "on", "1", "t", "y"), True), (("false", "No", "off", "0", "f", "n"), False)]
)
def test_words_for_a_flag(monkeypatch: pytest.MonkeyPatch, file: Path, words: tuple[str, ...], meant: bool) -> None:
    """In the environment, which has text alone; a file has TOML's own words as well."""
    for word in words:
        monkeypatch.setenv("CREDITMETER_INSECURE", word)
        assert Settings.load().insecure is meant
    monkeypatch.delenv("CREDITMETER_INSECURE")
    for written in (str(meant).lower(), str(int(meant))):
        file.write_text(f"insecure = {written}\n")
        assert Settings.load(file).insecure is meant
    for wrong in ("2", "[]", '"2"'):
        file.write_text(f"insecure = {wrong}\n")
        assert problems(file)[0].endswith("write true or false")


def test_counts_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces around them say nothing."""
    monkeypatch.setenv("CREDITMETER_SETTLEMENT_BATCH", " 12 ")
    assert Settings.load().settlement_batch == 12


def test_all_problems_at_once(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Of all sources, unknown names among them."""
    file.write_text("lease_tttl = 1\nrecall = 'maybe'\n")
    monkeypatch.setenv("CREDITMETER_LISTN", "x:1")
    monkeypatch.setenv("CREDITMETER_LEASE_TTL", "2d")
    advice = "write a length of time from 1s to 1d, such as 30s or 1h30m"
    assert problems(file, settlement_batch="0") == (
        "CREDITMETER_LISTN in the environment is no setting: did you mean CREDITMETER_LISTEN?",
        f"lease_tttl (file {file}) is no setting: did you mean lease_ttl?",
        f"lease_ttl (environment CREDITMETER_LEASE_TTL): '2d' cannot be used: {advice}",
        "settlement_batch (option --settlement-batch): '0' cannot be used: write a whole number from 1 to 1000",
        f"recall (file {file}): 'maybe' cannot be used: write notify or poll",
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("CREDITMETER_LISTEN_ADDRESS", "did you mean CREDITMETER_LISTEN?"),
        ("CREDITMETER_DATADIR", "did you mean CREDITMETER_DATA_DIR?"),
        ("CREDITMETER_XYZ", "`creditmeter config show` lists all of them"),
        ("CREDITMETER_", "`creditmeter config show` lists all of them"),
        ("CREDITMETER_PORT", "is no setting"),
        ("creditmeter_lease_ttl", "did you mean CREDITMETER_LEASE_TTL?"),
        ("Creditmeter_LEASE_TL", "did you mean CREDITMETER_LEASE_TTL?"),
    ],
)
def test_an_unknown_variable(monkeypatch: pytest.MonkeyPatch, written: str, meant: str) -> None:
    """The nearest right name is said; what all names begin with does not make one near."""
    monkeypatch.setenv(written, "50151")
    (problem,) = problems()
    assert problem.startswith(f"{written} in the environment is no setting: ")
    assert meant in problem


def test_what_others_set_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own commands, and Kubernetes for Services whose name begins with ours."""
    for name in (
        "ADDRESS",
        "DEBUG",
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_GRPC",
        "PORT_50151_TCP_ADDR",
        "PORT_50151_TCP_PORT",
    ):
        monkeypatch.setenv(f"CREDITMETER_{name}", "x")
    for name in ("PORT_50151_TCP_PROTO", "STORE_SERVICE_HOST", "STORE_PORT_5432_TCP_ADDR"):
        monkeypatch.setenv(f"CREDITMETER_{name}", "x")
    for name in ("PORT", "PORT_50151_TCP", "STORE_PORT"):
        monkeypatch.setenv(f"CREDITMETER_{name}", "tcp://10.0.0.1:50151")
    assert Settings.load() == Settings()


def test_a_variable_that_is_set_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts as one that is not set, as a composed environment has them."""
    for name in ("LISTEN", "LEASE_TTL", "CENTRAL", "CONFIG"):
        monkeypatch.setenv(f"CREDITMETER_{name}", "")
    assert Settings.load() == Settings()


@pytest.mark.parametrize(
    "content",
    [
        b"lease_ttl = ",
        b"\xff\xfe",
        b"lease_ttl = 1\nlease_ttl = 2\n",
        b"lease_ttl = 1" + b"0" * 5_000,
        b"x = " + b"[" * 5_000 + b"]" * 5_000,
    ],
    ids=["no value", "no UTF-8", "twice", "a number too large", "too deep"],
)
def test_a_file_that_is_no_toml(monkeypatch: pytest.MonkeyPatch, file: Path, content: bytes) -> None:
    """It is named, and so is what is wrong elsewhere."""
    file.write_bytes(content)
    monkeypatch.setenv("CREDITMETER_RECALL", "maybe")
    first, second = problems(file)
    assert first.startswith(f"the configuration file {file} cannot be read: it is not ")
    assert second.startswith("recall (environment CREDITMETER_RECALL)")
    (missing,) = {each for each in problems(file.parent) if "configuration" in each}
    assert missing == f"the configuration file {file.parent} cannot be read: Is a directory"


@pytest.mark.parametrize("name", ["central", "alert_webhook_url", "alert_webhook_secret"])
def test_a_complaint_shows_no_secret(file: Path, name: str) -> None:
    """Whatever is wrong with it."""
    file.write_text(f'{name} = ["hunter2"]\n')
    assert "hunter2" not in str(problems(file))
    assert "hunter2" not in str(problems(None, **{name: "hunter2\n"}))
