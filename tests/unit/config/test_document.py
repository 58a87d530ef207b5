"""How YAML is read: exact, with positions, and with bounded expansion."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservd.config.document import Document, dotted, read_document
from reservd.errors import ConfigError


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes) -> Document:
    return read_document(write(folder, content))


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(ConfigError) as raised:
        read(folder, content)
    (problem,) = raised.value.problems
    return problem.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Decimal("0.1")),
        ("1e-3", Decimal("0.001")),
        ("-1.50", Decimal("-1.50")),
        (".5", Decimal("0.5")),
        ("5.", Decimal(5)),
        ("1E5", Decimal("1E+5")),
        ("100000000000000000000000000.000000001", Decimal("100000000000000000000000000.000000001")),
        ("7", 7),
        ("+7", 7),
        ("007", 7),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("!!int '5'", 5),
        (".inf", Decimal("Infinity")),
        ("-.INF", Decimal("-Infinity")),
    ],
)
def test_value_is_exact_when_it_is_a_number_or_a_constant(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"key: {text}").values["key"]
    assert found == value
    assert type(found) is type(value)
    assert str(found) == str(value), "every digit is kept"


@pytest.mark.parametrize(
    "text",
    [
        "0xdAC17F958D2ee523a2206206994597C13D831ec7",
        "0x10",
        "yes",
        "No",
        "on",
        "2026-01-31",
        "2026-01-31T10:00:00Z",
        "12:30:45",
        "1_000",
        "0o17",
        "5%",
        "=",
        "1.2.3",
        "tRuE",
        "1e999999999",
        "-1e-999999999",
        "1e99999999999999999999",
        "1" * 151,
        "٣",
    ],
)
def test_value_stays_text_when_yaml_1_2_says_so(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"key: {text}").values["key"] == text


@pytest.mark.parametrize(
    ("written", "value"),
    [("'0.5'", "0.5"), ('"true"', "true"), ("!!str 1e-3", "1e-3"), ("!!float many", "many"), ("!!bool maybe", "maybe")],
)
def test_value_is_text_when_it_is_quoted_or_tagged(tmp_path: Path, written: str, value: str) -> None:
    assert read(tmp_path, f"key: {written}").values["key"] == value


def test_not_a_number_is_read_as_such(tmp_path: Path) -> None:
    """It is refused where a number is required, with its position."""
    assert read(tmp_path, "key: .nan").values["key"].is_nan()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=18))
def test_decimal_keeps_every_digit(tmp_path_factory: pytest.TempPathFactory, number: Decimal) -> None:
    found = read(tmp_path_factory.getbasetemp(), f"key: {number:f}").values["key"]
    assert found == number


def test_where_names_value_and_key(tmp_path: Path) -> None:
    document = read(tmp_path, "web:\n  listen_address: [a, b]\n")
    where = {
        document.where(("web", "listen_address", 1)): ":2:23",
        document.where(("web", "listen_address")): ":2:19",
        document.where(("web", "listen_address"), key=True): ":2:3",
        document.where(("web", "missing", "deep")): ":2:3",
        document.where(("nowhere",), key=True): ":1:1",
        document.where(): ":1:1",
    }
    for place, expected in where.items():
        assert place == f"{document.path}{expected}"
    assert document.has(("web",))
    assert not document.has(("nowhere",))
    assert not document.inherits(("web",))


def test_key_is_a_problem_when_it_is_there_twice(tmp_path: Path) -> None:
    """The rest of the file is still checked, so that its problems are reported in the same run."""
    document = read(tmp_path, "a: 1\nb: {c: 1, c: 2}\na: 2\n")
    lines = [problem.replace(f"{tmp_path}/", "") for problem in document.problems]
    assert lines == [
        "file.yaml:2:11: b.c: must be given once, is on line 2 already",
        "file.yaml:3:1: a: must be given once, is on line 1 already",
    ]
    assert document.values == {"a": 1, "b": {"c": 1}}


def test_key_is_a_problem_when_it_is_no_text(tmp_path: Path) -> None:
    assert read(tmp_path, "? [a, b]\n: 1\n").problems == [f"{tmp_path}/file.yaml:1:3: a key must be text"]


def test_keys_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    assert read(tmp_path, "1: a\nyes: b\nnull: c\n0x1: d\n").values == {"1": "a", "yes": "b", "null": "c", "0x1": "d"}


def test_merge_key_brings_what_is_not_given(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  y: 5\n  <<: [*a, *b]\n"
    document = read(tmp_path, text)
    assert document.values["c"] == {"x": 1, "y": 5, "z": 4}
    assert document.where(("c", "y")).endswith(":4:6"), (
        "its own value wins, even if a merged one follows later in the file"
    )
    assert document.where(("c", "x")).endswith(":1:11")
    assert document.where(("c",)).endswith(":4:3")


def test_first_of_merged_mappings_wins_when_both_have_a_key(tmp_path: Path) -> None:
    text = "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: [*a, *b]}\nd: {<<: *b}\n"
    values = read(tmp_path, text).values
    assert values["c"] == {"x": 1}
    assert values["d"] == {"x": 2}


def test_merge_key_is_a_problem_when_it_brings_no_mapping(tmp_path: Path) -> None:
    problems = read(tmp_path, "a: {<<: 5}\n").problems
    assert problems == [f"{tmp_path}/file.yaml:1:9: a.<<: must be a mapping, or a list of them"]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: &a {<<: *a}",
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
        "a0: &a0 {}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
        "a: " + "[" * 60 + "]" * 60,
        "[" * 500_000,
        "- " * 500_000,
    ],
    ids=["list in itself", "mapping in itself", "merge of itself", "bomb", "merge bomb", "deep", "very deep", "blocks"],
)
def test_file_is_refused_when_it_is_endless_or_deep(tmp_path: Path, text: str) -> None:
    assert "must have at most 50 levels and 200,000 values" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "file.yaml:1:1: must be a YAML mapping, got an empty file"),
        ("# only a comment\n", "file.yaml:1:1: must be a YAML mapping, got an empty file"),
        ("- a\n- b\n", "file.yaml:1:1: must be a YAML mapping, got a list"),
        ("just words\n", "file.yaml:1:1: must be a YAML mapping, got plain text"),
        ("a: 1\nb: [1,\n", "file.yaml:3:1: must be YAML: "),
        ("a: b: c\n", "file.yaml:1:5: must be YAML: mapping values are not allowed in this context"),
        ("a: *nowhere\n", "file.yaml:1:4: must be YAML: found undefined alias"),
        (
            "a: 1\n---\nb: 2\n",
            "file.yaml:2:1: must be YAML: expected a single document in the stream, but found another",
        ),
        ("a: 1\nb: \x07\n", "file.yaml:2:4: must be YAML: control characters are not allowed"),
        (b"a: 1\nb: \xff\n", "file.yaml:2:4: must be YAML: invalid"),
        ("a:" + " " * 1024 * 1024, "file.yaml: must be at most 1048576 bytes"),
    ],
)
def test_file_is_refused_when_it_is_no_yaml_mapping(tmp_path: Path, content: Any, line: str) -> None:
    problem = refusal(tmp_path, content)
    assert problem.startswith(line)
    assert "\n" not in problem


@pytest.mark.parametrize("content", ["a:\n\tb: 1\n", "a: x\n  \tb: 1\n", "a: x\n\tb: 1\n", "ä: 1\r\nb:\r\n\tc: 1\r\n"])
def test_tab_is_told_when_a_line_is_indented_by_one(tmp_path: Path, content: str) -> None:
    problem = refusal(tmp_path, content)
    line = content.count("\n")
    assert problem.startswith(f"file.yaml:{line}:")
    assert problem.count(" tab") == 1


def test_file_is_refused_when_it_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_document(tmp_path)
    assert raised.value.problems == (f"{tmp_path}: cannot be read: Is a directory",)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_read_or_refused_in_one_located_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        document = read(folder, content)
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.startswith(f"{folder}/file.yaml:")
        assert len(problem.splitlines()) == 1
    else:
        assert isinstance(document.values, dict)


def test_keys_of_the_strategy_are_not_looked_at(tmp_path: Path) -> None:
    """Its tags, repeated keys and unusual keys are not checked."""
    path = write(
        tmp_path,
        "mode: a\nleverage: !engine.Curve {x: !point [1, 2]}\nleverage: 2\n? [1, 2]\n: odd\n"
        "extra: &extra {reserve_ratio: 0.1, leverage: 3, mode: other}\n<<: *extra\nreserve_low_threshold: !!float 1\n",
    )
    document = read_document(path, ("mode",), "reserve_")
    assert document.values == {"mode": "a", "reserve_ratio": Decimal("0.1"), "reserve_low_threshold": Decimal(1)}
    assert document.problems == []


@pytest.mark.parametrize(
    ("loc", "text"), [((), ""), (("a",), "a"), (("a", 0, "b", 1, 2), "a[0].b[1][2]"), ((0, "a"), "[0].a")]
)
def test_dotted_reads_as_people_write(loc: tuple[str | int, ...], text: str) -> None:
    assert dotted(loc) == text
