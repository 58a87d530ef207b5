"""READMEs that map the modules of a package name all of them."""

from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "daemon" / "reservd"


@pytest.mark.parametrize("name", ["reserve", "monitor", "delivery", "service"])
def test_every_module_is_on_the_map_of_its_package(name: str) -> None:
    folder = PACKAGE / name
    table = "\n".join(line for line in (folder / "README.md").read_text().splitlines() if line.startswith("|"))
    modules = {path.stem for path in folder.rglob("*.py")} - {"__init__"}
    assert [module for module in sorted(modules) if f"`{module}`" not in table] == []
