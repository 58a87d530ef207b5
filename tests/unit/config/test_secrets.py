"""Secrets: read from their files, and never shown in an error, a repr or a traceback."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reservd.errors import ConfigError

KEY = "whsec_dGhpcyBpcyBvbmx5IGEgdGVzdCBzZWNyZXQ="
OTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhpcyB0ZXN0Lg=="


def webhook(folder: Any, options: str) -> None:
    folder.main("{plugin: log}", f"{{plugin: webhook, options: {{{options}}}}}")


def secret_of(folder: Any, environ: dict[str, str] | None = None) -> str:
    secret: str = folder.load(environ).event_sinks["ops"].config.secret.get_secret_value()
    return secret


@pytest.fixture
def named(folder: Any) -> Any:
    """A configuration whose secret is in the file `key`."""
    webhook(folder, "url: 'https://hook.example/x', secret_file: key")
    return folder


def test_secret_is_read_from_the_file_beside_the_configuration(named: Any) -> None:
    named.write("key", f"{KEY}\n")
    assert secret_of(named) == KEY


def test_secret_is_read_from_the_credentials_directory_first(named: Any) -> None:
    named.write("key", OTHER)
    named.write("credentials/key", KEY)
    assert secret_of(named, {"CREDENTIALS_DIRECTORY": str(named.path / "credentials")}) == KEY


def test_secret_is_read_beside_the_configuration_when_it_is_no_credential(named: Any) -> None:
    named.write("key", KEY)
    assert secret_of(named, {"CREDENTIALS_DIRECTORY": str(named.path / "credentials")}) == KEY
    assert secret_of(named, {"CREDENTIALS_DIRECTORY": ""}) == KEY


def test_secret_is_read_from_an_absolute_path(folder: Any, tmp_path: Path) -> None:
    folder.write("elsewhere/key", KEY)
    webhook(folder, f"url: 'https://hook.example/x', secret_file: {folder.path}/elsewhere/key")
    assert secret_of(folder, {"CREDENTIALS_DIRECTORY": "/nowhere"}) == KEY


def test_secrets_in_lists_and_maps_are_read_from_files(folder: Any) -> None:
    """Their items have no key that could get a suffix: the file is given in place of the secret."""
    folder.write("credentials/old", f"{OTHER}\n")
    folder.write("gateway", "k3y")
    webhook(
        folder,
        f"url: 'https://hook.example/x', secret: '{KEY}', previous_secrets: [{{file: old}}], "
        "headers: {X-Gateway: {file: gateway}, X-Plain: plain}",
    )
    config = folder.load({"CREDENTIALS_DIRECTORY": str(folder.path / "credentials")}).event_sinks["ops"].config
    assert [key.get_secret_value() for key in config.previous_secrets] == [OTHER]
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    assert headers == {"X-Gateway": "k3y", "X-Plain": "plain"}
    assert "k3y" not in repr(config)


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("{file: gone}", "headers.X-A.file: must name a readable file, got gone: No such file or directory"),
        ("{file: ''}", "headers.X-A.file: must name a file"),
        ("{file: 5}", "headers.X-A.file: must name a file"),
        ("{file: a, text: b}", "headers.X-A: must be text"),
        ("{}", "headers.X-A: must be text"),
    ],
)
def test_line_leads_to_the_file_of_a_secret_in_a_map(folder: Any, header: str, line: str) -> None:
    webhook(folder, f"url: 'https://hook.example/x', secret: '{KEY}', headers: {{X-A: {header}}}")
    (problem,) = folder.problems()
    assert line in problem


def test_variables_are_replaced_in_secrets_and_urls(folder: Any) -> None:
    webhook(folder, "url: 'https://${HOST}/x?key=${KEY}', secret: '${SECRET}', headers: {X-Key: '${KEY}'}")
    config = folder.load({"HOST": "hook.example", "KEY": "k3y", "SECRET": KEY}).event_sinks["ops"].config
    assert config.url.get_secret_value() == "https://hook.example/x?key=k3y"
    assert config.secret.get_secret_value() == KEY
    assert config.headers["X-Key"].get_secret_value() == "k3y"


def test_variables_are_left_alone_elsewhere(folder: Any) -> None:
    folder.main("asset: USDT, amount", "account: '${HOME}', asset: USDT, amount")
    assert "${HOME}" in folder.load({"HOME": "/root"}).balance_sources["vault"].accounts


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "must name a readable file, got FOLDER/key: No such file or directory"),
        (b"", "must name a file with 1 to 65,536 bytes of text, got FOLDER/key"),
        (b" \n", "must name a file with 1 to 65,536 bytes of text, got FOLDER/key"),
        (b"x" * 65537, "must name a file with 1 to 65,536 bytes of text, got FOLDER/key"),
        (b"\xff\xfe", "must name a readable file, got FOLDER/key: it is not UTF-8 text"),
    ],
)
def test_line_leads_to_the_file_when_it_holds_no_secret(named: Any, content: bytes | None, line: str) -> None:
    if content is not None:
        named.write("key", content)
    (problem,) = named.problems()
    assert problem == f"reservd.yaml:7:80: event_sinks.ops.options.secret_file: {line.replace('FOLDER/', '')}"


def test_line_says_so_when_the_file_is_a_folder(named: Any) -> None:
    (named.path / "key").mkdir()
    (problem,) = named.problems()
    assert problem.endswith("got key: Is a directory")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            "secret: x, secret_file: y",
            "reservd.yaml:7:75: event_sinks.ops.options.secret: must not be given as well as",
        ),
        ("secret_file: 5", "event_sinks.ops.options.secret_file: must name a file"),
        ("secret_file: ''", "event_sinks.ops.options.secret_file: must name a file"),
        ("secret: '${UNSET}'", "options.secret: environment variable UNSET must be set, and not empty"),
        ("secret: '${EMPTY}'", "options.secret: environment variable EMPTY must be set, and not empty"),
        ("timeout: 5", "event_sinks.ops.options.secret: is required, or secret_file in its place"),
        ("secert_file: key", "event_sinks.ops.options.secert_file: unknown key; did you mean secret_file?"),
        ("headers_file: key", "event_sinks.ops.options.headers_file: unknown key; did you mean headers?"),
    ],
)
def test_secret_gives_one_clear_line_when_it_is_wrong(folder: Any, options: str, line: str) -> None:
    other = f", secret: '{KEY}'" if options.startswith("headers") else ""
    webhook(folder, f"url: 'https://hook.example/x', {options}{other}")
    (problem,) = folder.problems({"EMPTY": ""})
    assert line in problem


def test_all_secrets_that_cannot_be_read_are_said_at_once(folder: Any) -> None:
    webhook(folder, "url_file: a, secret_file: b, timeout: 0, headers: {X-A: '${UNSET}', X-B: [1]}")
    assert [line.split(": ", 1)[1] for line in folder.problems()] == [
        "event_sinks.ops.options.timeout: must be above 0, got 0",
        "event_sinks.ops.options.url_file: must name a readable file, got a: No such file or directory",
        "event_sinks.ops.options.secret_file: must name a readable file, got b: No such file or directory",
        "event_sinks.ops.options.headers.X-A: environment variable UNSET must be set, and not empty",
        "event_sinks.ops.options.headers.X-B: must be text",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:hidden@hook.example",
        "hidden",
        "https://",
        "https:///hidden",
        "http://[hidden",
        "http://[hidden]/x",
        "https://hook.example:hidden/x",
        "https://hook.example:99999/hidden",
        "https://hook.example/hid den",
        "https://user:hidden@a℀b",
    ],
)
def test_url_is_refused_without_being_shown_when_it_is_none(folder: Any, url: str) -> None:
    webhook(folder, f"url: {url!r}, secret: '{KEY}'")
    (problem,) = folder.problems()
    assert problem == ("reservd.yaml:7:41: event_sinks.ops.options.url: must be an http:// or https:// URL with a host")


_MARKER = "s3cr3t"
_URL = f"https://user:{_MARKER}@host.example/{_MARKER}?key={_MARKER}"
_VALUES = st.sampled_from(
    [f"'{_MARKER}'", f"'{_URL}'", f"['{_MARKER}']", f"{{a: '{_MARKER}'}}", "5", ".nan", "''", "'${UNSET}'", "true"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150)
@given(url=_VALUES, secret=_VALUES, headers=_VALUES, options=st.none() | st.just(f"'{_URL}'"), timeout=_VALUES)
def test_no_line_shows_a_secret_or_a_url(
    folder: Any, url: str, secret: str, headers: str, options: str | None, timeout: str
) -> None:
    """Whatever is given for options that hold secrets, and wherever URLs are given."""
    everything = options or f"{{url: {url}, secret: {secret}, headers: {headers}, timeuot: {timeout}}}"
    folder.main(
        "{plugin: log}", f"{{plugin: webhook, options: {everything}}}", more=f"web: {{listen_address: '{_URL}'}}\n"
    )
    folder.mode("[ops]", f"['{_URL}']")
    text = "\n".join(folder.problems())
    assert _MARKER not in text
    assert "://user" not in text


def test_no_repr_shows_a_secret(folder: Any) -> None:
    webhook(folder, f"url: '{_URL}', secret: '{KEY}', headers: {{X-Key: {_MARKER}}}")
    config = folder.load()
    shown = f"{config.event_sinks['ops'].config!r} {config.event_sinks['ops'].config}"
    assert _MARKER not in shown
    assert KEY not in shown


def test_configuration_error_has_no_cause_that_could_show_a_secret(folder: Any) -> None:
    """The original exception is not chained, since its traceback would show the input."""
    webhook(folder, f"url: 'ftp://{_MARKER}', secret: '{KEY}'")
    with pytest.raises(ConfigError) as raised:
        folder.load()
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
