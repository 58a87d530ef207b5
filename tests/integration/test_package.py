"""The distribution: the content of the wheel, and that it works when installed."""

import json
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]
_PYPROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_PROJECT, _GROUPS = _PYPROJECT["project"], _PYPROJECT["dependency-groups"]
_PLUGINS = _PROJECT["entry-points"]["reservd"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as for a release."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory]
    subprocess.run(command, cwd=_ROOT, check=True)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and the dependencies of this one."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory)
    interpreter = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    # Added last: pip must not find this environment's own reservd. A path added so brings no editable installs along.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(directory), "platbase": str(directory)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return interpreter


def _run(python: Path, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout


def test_wheel_holds_the_package_and_its_plugins_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"reservd", *_PLUGINS.values(), f"reservd-{wheel.name.split('-')[1]}.dist-info"}
    sources = {path.relative_to(_ROOT / top) for top in ("daemon", "plugins") for path in (_ROOT / top).rglob("*.py")}
    assert {str(path) for path in sources} <= names


def test_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{package}/py.typed" for package in ("reservd", *_PLUGINS.values())} <= names


def test_installed_wheel_is_imported_from_its_own_environment(python: Path) -> None:
    assert Path(_run(python, "import reservd; print(reservd.__file__)")).is_relative_to(python.parents[1])


def test_installed_wheel_registers_each_plugin(python: Path) -> None:
    code = (
        "import json, importlib.metadata as m;"
        " print(json.dumps({p.name: p.load().__name__ for p in m.distribution('reservd').entry_points"
        " if p.group == 'reservd'}))"
    )
    assert json.loads(_run(python, code)) == _PLUGINS


def test_installed_program_checks_the_demo_configuration(python: Path) -> None:
    program = python.with_name("reservd")
    command = [program, "check-config", "--config", _ROOT / "configs" / "demo.yaml"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def _pins(name: str) -> dict[str, str]:
    lines = (_ROOT / "requirements" / name).read_text().splitlines()
    pins = (Requirement(line.removesuffix("\\")) for line in lines if line and not line.startswith((" ", "#")))
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("run.txt", [*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["evm"]]),
        ("build.txt", _GROUPS["build"]),
        ("dev.txt", [wanted for wanted in _GROUPS["dev"] if isinstance(wanted, str)]),
    ],
)
def test_pins_are_what_pyproject_asks_for(file: str, wanted: Iterable[str]) -> None:
    """Otherwise `make lock` was forgotten."""
    pins = _pins(file)
    for requirement in map(Requirement, wanted):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_pins_of_the_daemon_stay_when_the_suite_is_installed() -> None:
    installed = _pins("build.txt") | _pins("run.txt")
    assert installed.items() <= _pins("dev.txt").items()
