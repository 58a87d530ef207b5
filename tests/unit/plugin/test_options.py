"""Options that all plugins share."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
from pydantic import AfterValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from reservd.plugin import ConfigPath, PluginConfig, Seconds, Secret, SourceConfig, Url
from reservd.plugin.options import has_file_twin, is_secret

Checked = Annotated[Secret, AfterValidator(lambda secret: secret)]


class Nested(PluginConfig):
    key: Secret
    note: str = ""


class Options(PluginConfig):
    token: Secret | None = None
    url: Url | None = None
    nested: Nested | None = None
    path: ConfigPath = Path("here")
    wait: Seconds = 1.0


class Needy(PluginConfig):
    token: Checked
    bare: SecretStr = SecretStr("default")
    many: tuple[Secret, ...] = ()


def parse(values: Any, directory: Path = Path(), **environ: str) -> Options:
    return Options.model_validate(values, context={"directory": directory, "environ": environ})


def test_options_are_frozen_and_refuse_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Options().wait = 2.0
    with pytest.raises(ValidationError, match="extra_forbidden"):
        parse({"wiat": 1})
    with pytest.raises(ValidationError, match="model_type"):
        parse("text")


def test_environment_is_that_of_the_process_when_none_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_TEST", "t0ken")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "key").write_text("k3y")
    options = Options.model_validate({"token": "${TOKEN_OF_THE_TEST}", "nested": {"key_file": "key"}})
    assert options.token is not None
    assert options.token.get_secret_value() == "t0ken"
    assert options.nested is not None
    assert options.nested.key.get_secret_value() == "k3y"


def test_several_variables_are_replaced_in_one_text() -> None:
    options = parse({"token": "${A}-$B-${B}-${not a name}-$${A}"}, A="1", B="${A}")
    assert options.token is not None
    assert options.token.get_secret_value() == "1-$B-${A}-${not a name}-$1", "their items are not changed"


def test_secret_may_be_given_as_an_object() -> None:
    """For programs that build options in code."""
    assert Options(token=SecretStr("t0ken")).token == SecretStr("t0ken")


@pytest.mark.parametrize("text", ["repr", "str", "json", "error"])
def test_secret_is_never_shown(text: str) -> None:
    options = parse({"token": "hidden", "url": "https://hidden@host/hidden", "nested": {"key": "hidden"}})
    with pytest.raises(ValidationError) as raised:
        parse({"token": ["hidden"], "url": "hidden", "nested": {"key": 5, "note": ["hidden"]}, "wait": "hidden"})
    shown = {"repr": repr(options), "str": str(options), "json": options.model_dump_json(), "error": str(raised.value)}
    assert "hidden" not in shown[text]


@pytest.mark.parametrize(
    "url",
    ["http://host", "https://host:8080/path?query#part", "http://user:password@127.0.0.1:1/", "http://[::1]:8545"],
)
def test_url_is_taken_when_it_has_a_host(url: str) -> None:
    options = parse({"url": url})
    assert options.url is not None
    assert options.url.get_secret_value() == url


@pytest.mark.parametrize(
    ("path", "expected"), [("a/b", "/etc/reservd/a/b"), ("/var/lib/x", "/var/lib/x"), (None, "/etc/reservd/here")]
)
def test_path_starts_at_the_folder_of_the_configuration(path: str | None, expected: str) -> None:
    options = parse({"path": path} if path else {}, Path("/etc/reservd"))
    assert options.path == Path(expected)


@pytest.mark.parametrize("value", [1, 0.5, Decimal("0.1"), "10", 3600])
def test_seconds_are_taken_when_they_are_a_duration(value: object) -> None:
    assert parse({"wait": value}).wait == float(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, 3601, True, False, "soon", None, Decimal("NaN"), float("inf"), "nan"])
def test_seconds_are_refused_when_they_are_no_duration(value: object) -> None:
    with pytest.raises(ValidationError):
        parse({"wait": value})


def test_timeout_of_a_source_is_ten_seconds_unless_it_says_otherwise() -> None:
    assert SourceConfig().timeout == 10.0


@pytest.mark.parametrize(
    ("annotation", "secret"),
    [
        (Secret, True),
        (Url | None, True),
        (dict[str, Secret], True),
        (list[tuple[Url]], True),
        (str, False),
        (Nested, False),
    ],
)
def test_annotation_is_known_as_secret_wherever_the_secret_is(annotation: Any, secret: bool) -> None:
    assert is_secret(annotation) is secret


def test_only_single_secrets_have_a_file_twin() -> None:
    def twins(model: type[PluginConfig]) -> set[str]:
        return {name for name, field in model.model_fields.items() if has_file_twin(field)}

    assert twins(Options) == {"token", "url"}
    assert twins(Needy) == {"token"}
    assert twins(Nested) == {"key"}
    assert not has_file_twin(FieldInfo(annotation=int))


def test_option_that_ends_in_file_stays_what_it_is_when_there_is_no_secret_of_that_name() -> None:
    class Reader(PluginConfig):
        key_file: str

    assert Reader.model_validate({"key_file": "a"}).key_file == "a"


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"token": "a"}, True),
        ({"token_file": "a"}, True),
        ({"token": "a", "token_file": "b"}, False),
        ({}, False),
        ({"token_file": ""}, False),
        ({"token": "a", "bare_file": "b"}, False),
        ({"token": "a", "many": ["b"]}, True),
        ({"token": "a", "many": ["b", {"file": "c"}]}, True),
        ({"token": "a", "many": [{"file": ""}]}, False),
        ({"token": "a", "many": [{"file": "c", "name": "d"}]}, False),
        ({"token": "a", "many": [5]}, False),
    ],
)
def test_schema_wants_a_required_secret_in_one_of_two_ways(values: Any, fits: bool) -> None:
    assert jsonschema.Draft202012Validator(Needy.model_json_schema()).is_valid(values) is fits


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({}, True),
        ({"token_file": "a", "url": "http://a"}, True),
        ({"token": "a", "token_file": "b"}, False),
        ({"nested": {"key_file": "a"}}, True),
        ({"nested": {}}, False),
        ({"wait": 0}, False),
    ],
)
def test_schema_lets_an_optional_secret_away_and_knows_nested_ones(values: Any, fits: bool) -> None:
    assert jsonschema.Draft202012Validator(Options.model_json_schema()).is_valid(values) is fits
