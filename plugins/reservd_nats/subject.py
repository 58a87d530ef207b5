"""The subject that an event is published to."""

import re

from pydantic_core import PydanticCustomError

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
"""A dot would begin another token, and `*`, `>` and white space have a meaning for the server."""
_TEMPLATE = re.compile(r"(?!\$)[^\s.*>{}\x00-\x1f\x7f]+(\.[^\s.*>{}\x00-\x1f\x7f]+)*")


def check_template(template: str) -> str:
    """Return the template if every subject made from it can be published to.

    Raises:
        PydanticCustomError: If it cannot.
    """
    if _TEMPLATE.fullmatch(subject_of(template, "mode", "type")) is None:
        rule = "must be tokens between dots, without spaces, wildcards and other braces than {{mode}} and {{type}}"
        raise PydanticCustomError("subject", rule)
    return template


def subject_of(template: str, mode: str, event_type: str) -> str:
    """Return the subject of one event.

    Args:
        template: May contain `{mode}` and `{type}`, each of which becomes one token or a part of one.
        mode: Characters that are not allowed in a token become `_`.
        event_type: `reserve_low` and so on.
    """
    return template.replace("{mode}", _UNSAFE.sub("_", mode)).replace("{type}", _UNSAFE.sub("_", event_type))
