"""The examples in the plugins' READMEs, for tests that run them."""

import re
from pathlib import Path

import reservd

_PLUGINS = Path(reservd.__file__).parents[2] / "plugins"


def documented_program(plugin: str) -> str:
    """Return the Python program in the README of a plugin.

    Args:
        plugin: Its name, such as "nats".
    """
    text = (_PLUGINS / f"reservd_{plugin}" / "README.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return str(program)
