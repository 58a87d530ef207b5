"""Every first-party plugin's folder: its documentation matches its code, and its sample loads."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import reservd
from reservd.config.document import read_document
from reservd.plugin import PluginConfig
from reservd.plugin.host import KINDS, PluginHost
from reservd.plugin.options import has_file_twin, is_secret

PLUGINS = Path(reservd.__file__).parents[2] / "plugins"
FOLDERS = sorted(PLUGINS.glob("reservd_*"))
COLUMNS = {
    "balance_sources": "balances",
    "equity_sources": "equity",
    "price_sources": "prices",
    "event_sinks": "events",
    "replenishers": "refills",
}
SOURCES = {"balance_sources", "equity_sources", "price_sources"}
SECRET = "whsec_" + "A" * 43 + "="


class AnyVariable(dict[str, str]):
    """An environment in which every variable of a sample is set."""

    def __contains__(self, name: object) -> bool:
        return name != "CREDENTIALS_DIRECTORY"

    def __missing__(self, name: str) -> str:
        return "https://host.example/" if name.endswith("URL") else SECRET


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def classes_of(folder: Path) -> Mapping[str, Any]:
    return PluginHost().load(folder.name.removeprefix("reservd_"))


def is_source(folder: Path) -> bool:
    return not SOURCES.isdisjoint(classes_of(folder))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def options_of(folder: Path) -> set[str]:
    configs = [cls.Config for cls in classes_of(folder).values()]
    return {name for config in configs for model in models_in(config) for name in model.model_fields}


def secrets_in_lists_and_maps(folder: Path) -> set[str]:
    """Return the options with several secrets, which therefore have no `_file` variant."""
    return {
        name
        for cls in classes_of(folder).values()
        for model in models_in(cls.Config)
        for name, field in model.model_fields.items()
        if is_secret(field.annotation) and not has_file_twin(field)
    }


def test_readme_has_the_fixed_sections(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    sections = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert re.match(rf"# `?{folder.name.removeprefix('reservd_')}\b", text)
    assert sections[0] in {"What it reads", "What it sends"}
    assert "Options" in sections
    if is_source(folder):
        assert "What it reads" in sections
        assert re.match(r"What makes (a balance|a number|a price|the equity) UNKNOWN\b", sections[-1])
    else:
        assert sections[-1] == "Failures"


@pytest.mark.parametrize("folder", [each for each in FOLDERS if is_source(each)], ids=lambda folder: folder.name)
def test_readme_of_a_source_tells_every_reason_by_which_its_own_code_fails(folder: Path) -> None:
    """Except `internal`, which is a defect of the plugin."""
    last = (folder / "README.md").read_text().rpartition("\n## ")[2]
    code = "".join(file.read_text() for file in folder.glob("*.py"))
    reasons = {each.lower() for each in re.findall(r"FailureReason\.([A-Z_]+)", code)} - {"internal"}
    if re.search(r"\binvalid\(", code):  # what `reservd.plugin.evm` offers in its place
        reasons.add("invalid_data")
    assert {reason for reason in reasons if f"`{reason}`" not in last} == set()


def test_readme_lists_the_options_that_exist(folder: Path) -> None:
    section = (folder / "README.md").read_text().partition("## Options")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == options_of(folder)


def test_readme_tells_of_each_list_and_map_of_secrets_that_files_may_hold_them(folder: Path) -> None:
    rows = (folder / "README.md").read_text().splitlines()
    told = {name for row in rows if "{file: NAME}" in row for name in re.findall(r"^\| `(\w+)` \|", row)}
    assert told == secrets_in_lists_and_maps(folder)


def test_every_option_has_a_description(folder: Path) -> None:
    """`reservd schema` shows it in editors."""
    for cls in classes_of(folder).values():
        for model in models_in(cls.Config):
            assert issubclass(model, PluginConfig)
            assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_option_models_have_names_of_their_own() -> None:
    """The schema of all plugins is one document, in which two models of one name would be confused."""
    owners: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for cls in classes_of(folder).values():
            for model in models_in(cls.Config):
                if model is not cls.Config:
                    owners.setdefault(model.__name__, set()).add(model.__module__)
    assert {name: sorted(modules) for name, modules in owners.items() if len(modules) > 1} == {}


def test_sample_builds_an_instance_of_every_class(folder: Path) -> None:
    sample = read_document(folder / "sample.yaml").values
    name = folder.name.removeprefix("reservd_")
    classes = classes_of(folder)
    assert set(sample) == set(classes) <= set(KINDS)
    for kind, instances in sample.items():
        for instance, settings in instances.items():
            assert settings["plugin"] == name
            context = {"directory": folder, "environ": AnyVariable()}
            config = classes[kind].Config.model_validate(settings.get("options", {}), context=context)
            assert classes[kind](instance, config).name == instance


def test_folder_is_typed(folder: Path) -> None:
    assert (folder / "py.typed").exists()


def test_list_of_plugins_says_what_each_one_is_for(folder: Path) -> None:
    """The table in the README of all plugins."""
    lines = (PLUGINS / "README.md").read_text().splitlines()
    heading = next(line for line in lines if line.startswith("| plugin |"))
    name = folder.name.removeprefix("reservd_")
    row = next((line for line in lines if line.startswith(f"| [{name}]({folder.name}/README.md) |")), None)
    assert row is not None, f"plugins/README.md has no row for {name}"
    cells = zip(*([cell.strip() for cell in line.split("|")] for line in (heading, row)), strict=True)
    assert {column for column, cell in cells if cell == "yes"} == {COLUMNS[kind] for kind in classes_of(folder)}
