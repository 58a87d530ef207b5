"""Addresses, tokens and certificates: checked before anything is sent, and never shown."""

from pathlib import Path

import pytest

from reservd.client import AsyncClient
from reservd.client.access import Token, check_urls
from reservd.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:9847",
        "ftp://host",
        "http://",
        "http://h:0",
        "http://h:x",
        "https://me:s3cret@h",
        "http://h?k=s3cret",
    ],
)
def test_url_is_refused_when_it_is_no_plain_one(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^url: must ") as raised:
        AsyncClient(url)
    assert "s3cret" not in str(raised.value)


def test_urls_are_several_when_daemons_share_a_store() -> None:
    assert check_urls(["http://one:1/", "https://two/below"]) == ("http://one:1", "https://two/below")
    with pytest.raises(ConfigError, match="got none"):
        check_urls([])


def test_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = Token(None, file)
    with pytest.raises(ConfigError, match="No such file"):
        token.headers()
    for word in ("rsv_one", "rsv_two"):
        file.write_text(f"{word}\n")
        assert token.headers() == {"Authorization": f"Bearer {word}"}
    assert Token(None, None).headers() == {}


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"rsv_\xff", b"x" * 5000])
def test_token_is_refused_when_it_cannot_be_sent(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^token_file: ") as raised:
        Token(None, file).headers()
    assert "two words" not in str(raised.value)


def test_token_is_refused_when_it_is_given_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        Token("rsv_one", tmp_path)
    with pytest.raises(ConfigError, match=r"^token: must be one word"):
        Token("rsv_one\r\nX: y", None)


def test_authorities_are_refused_when_their_file_holds_none(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"^ca_file: "):
        AsyncClient("https://host", ca_file=file)
    file.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"^ca_file: "):
        AsyncClient("https://host", ca_file=file)
