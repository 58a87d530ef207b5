"""Removal of secrets from texts."""

import pytest
from pydantic import Field

from reservd.plugin import PluginConfig, Secret, Url
from reservd.plugin.redact import Redactor


class Inner(PluginConfig):
    key: Secret


class Options(PluginConfig):
    url: Url
    token: Secret | None = None
    headers: dict[str, Secret] = Field(default_factory=dict)
    inner: tuple[Inner, ...] = ()
    name: str = "visible"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:p4ssword@host.example/v2/a-key?token=abcd failed", "********** failed"),
        ("no such path: /v2/a-key", "no such path: **********"),
        ("password p4ssword, query token=abcd", "password **********, query **********"),
        ("cannot connect to host.example", "cannot connect to host.example"),
        ("tok3n and h3ader and n3sted", "********** and ********** and **********"),
        ("tok3n-and-more", "**********"),
        ("visible", "visible"),
    ],
)
def test_secrets_of_the_options_are_hidden(text: str, shown: str) -> None:
    config = Options.model_validate(
        {
            "url": "https://user:p4ssword@host.example/v2/a-key?token=abcd",
            "token": "tok3n",
            "headers": {"X-Key": "h3ader", "X-Longer": "tok3n-and-more"},
            "inner": [{"key": "n3sted"}],
        }
    )
    assert Redactor(config)(text) == shown


def test_parts_of_an_address_are_hidden_when_a_bracket_makes_it_no_url() -> None:
    """An unencoded bracket in a password, in an address that only a library parses."""
    redact = Redactor(Options.model_validate({"url": "https://host.example", "token": "mq://me:p4ss[word@mq/vhost-1"}))
    text = "refused: p4ss[word at vhost-1, of mq://me:p4ss[word@mq/vhost-1"
    assert redact(text) == "refused: ********** at **********, of **********"


def test_text_stays_when_a_secret_is_too_short_to_be_one() -> None:
    assert Redactor(Options.model_validate({"url": "http://host/", "token": "abc"}))("abc /") == "abc /"


def test_text_stays_when_there_are_no_options() -> None:
    assert Redactor(None)("text") == "text"
