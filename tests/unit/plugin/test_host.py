"""How plugins are found, imported on demand, and checked against the contract."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from reservd.errors import PluginError
from reservd.plugin.host import KINDS, PluginHost, PluginState


def refusal(name: str = "acme", kind: str = "balance_sources") -> str:
    """Return why a plugin cannot be used, in one line."""
    with pytest.raises(PluginError) as raised:
        PluginHost().plugin_class(kind, name)
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    return text


def test_plugin_is_found_by_its_entry_point(site: Any, source_code: str) -> None:
    site.add(source_code)
    host = PluginHost()
    cls = host.plugin_class("balance_sources", "acme")
    assert cls.PLUGIN_NAME == "acme"
    assert host.plugin_class("balance_sources", "acme") is cls, "it is imported once"
    (listed,) = [plugin for plugin in host.installed() if plugin.name == "acme"]
    assert (listed.distribution, listed.state) == ("reservd-acme 1.0", PluginState.USABLE)
    assert (listed.kinds, listed.error) == (("balance_sources",), "")


def test_only_plugins_that_are_asked_for_are_imported() -> None:
    """No other plugin is imported, nor libraries that only other plugins need."""
    code = (
        "import sys; from reservd.plugin.host import PluginHost;"
        " host = PluginHost(); assert not [m for m in sys.modules if m.startswith('reservd_')];"
        " host.plugin_class('event_sinks', 'log');"
        " print(sorted(m for m in sys.modules if m.startswith('reservd_') and '.' not in m),"
        " [m for m in ('reservd.plugin.evm', 'eth_abi', 'eth_utils', 'aiohttp', 'standardwebhooks', 'jsonpath')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.split(maxsplit=1) == ["['reservd_log']", "[]\n"]


def test_every_first_party_plugin_keeps_the_contract() -> None:
    broken = {plugin.name: plugin.error for plugin in PluginHost().installed() if plugin.error}
    assert broken == {}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("statik", "no plugin 'statik' is installed; did you mean 'static'?"),
        ("zzz", "no plugin 'zzz' is installed (installed: aave_v3, "),
    ],
)
def test_plugin_is_refused_when_it_is_not_installed(name: str, line: str) -> None:
    assert refusal(name).startswith(line)


def test_plugin_is_refused_when_it_has_another_kind(site: Any, source_code: str) -> None:
    site.add(source_code)
    assert refusal(kind="event_sinks") == "plugin 'acme' has no event_sinks (it has balance_sources)"


def test_plugin_is_refused_when_two_distributions_bring_it(site: Any, source_code: str) -> None:
    site.add(source_code)
    site.add(source_code, distribution="other-acme", module="other_acme")
    line = refusal()
    assert line.startswith("plugin 'acme' is installed twice, by ")
    assert {"other-acme 1.0", "reservd-acme 1.0"} <= set(
        line.removesuffix(": remove one").split("by ")[1].split(" and ")
    )
    (listed,) = [plugin for plugin in PluginHost().installed() if plugin.name == "acme"]
    assert (listed.state, listed.error) == (PluginState.BROKEN, line)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (None, "plugin 'acme' cannot be imported: its module 'reservd_acme' is missing"),
        (
            "import reservd_acme.nothing",
            "plugin 'acme' cannot be imported: its module 'reservd_acme.nothing' is missing",
        ),
        ("import no_such_library", "plugin 'acme' cannot be imported: no module named 'no_such_library'"),
        ("1 / 0", "plugin 'acme' cannot be imported: ZeroDivisionError: division by zero"),
        ("raise RuntimeError('two\\nlines')", "plugin 'acme' cannot be imported: RuntimeError: two lines"),
        ("import sys; sys.exit(3)", "plugin 'acme' cannot be imported: SystemExit: 3"),
        ("raise SystemExit", "plugin 'acme' cannot be imported: SystemExit"),
        ("def", "plugin 'acme' cannot be imported: SyntaxError: invalid syntax"),
        ("from reservd.plugin import Nothing", "plugin 'acme' cannot be imported: ImportError: cannot import name"),
    ],
)
def test_plugin_is_refused_when_it_cannot_be_imported(site: Any, code: str | None, line: str) -> None:
    site.add(code)
    assert refusal().startswith(line)


@pytest.mark.parametrize(
    ("requirements", "line"),
    [
        (
            ["acmelib>=2; extra == 'acme'"],
            "plugin 'acme' needs the Python package 'acmelib': pip install 'reservd-acme[acme]'",
        ),
        (
            ['acmelib[fast]>=2 ; extra == "acme"', "bcme ; python_version > '3' and extra == 'acme'"],
            "plugin 'acme' needs the Python packages 'acmelib', 'bcme': pip install 'reservd-acme[acme]'",
        ),
        (["acmelib>=2; extra == 'other'", "always"], "plugin 'acme' cannot be imported: no module named 'acmelib'"),
    ],
)
def test_missing_package_is_named_with_the_extra_that_brings_it(site: Any, requirements: list[str], line: str) -> None:
    metadata = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    site.add("import acmelib", metadata=metadata)
    assert refusal() == line
    (listed,) = [plugin for plugin in PluginHost().installed() if plugin.name == "acme"]
    assert listed.state is (PluginState.EXTRA_MISSING if "pip install" in line else PluginState.BROKEN)


def test_extra_is_not_blamed_when_all_that_it_brings_is_installed(site: Any, source_code: str) -> None:
    """In this case the missing module belongs to none of its libraries."""
    site.add(source_code, name="acmelib", distribution="acmelib", module="acmelib")
    site.add("import acmelib.nothing", metadata="Requires-Dist: acmelib; extra == 'acme'\n")
    assert refusal() == "plugin 'acme' cannot be imported: no module named 'acmelib.nothing'"


def test_missing_package_is_named_when_the_extra_is_written_with_a_dash(site: Any) -> None:
    """Build backends write the extra `acme_bank` as `acme-bank`."""
    site.add("import acmelib", name="acme_bank", metadata="Requires-Dist: acmelib; extra == 'acme-bank'\n")
    assert refusal("acme_bank").endswith("pip install 'reservd-acme[acme_bank]'")


def test_extra_is_not_blamed_when_a_plugin_lacks_its_own_module(site: Any) -> None:
    metadata = "Requires-Dist: acmelib; extra == 'acme'\n"
    site.add("from reservd_acme import source", metadata=metadata)
    assert "ImportError" in refusal()
    site.add("import reservd_bank.source", name="bank", distribution="reservd-bank", metadata=metadata)
    assert refusal("bank") == "plugin 'bank' cannot be imported: its module 'reservd_bank.source' is missing"


def test_missing_package_is_named_when_the_distribution_is_unknown(site: Any) -> None:
    (site.path / "reservd_x.py").write_text("import no_such_library")
    with pytest.raises(PluginError, match=r"^plugin 'x' cannot be imported: no module named 'no_such_library'$"):
        PluginHost([EntryPoint("x", "reservd_x", "reservd")]).load("x")


REGISTERS = "reservd_register_balance_sources():\n    return [Source]"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            REGISTERS,
            "reservd_register_balance_sources():\n    1 / 0",
            " cannot be registered: ZeroDivisionError: division",
        ),
        (
            REGISTERS,
            "reservd_register_balance_sources():\n    raise SystemExit(2)",
            " cannot be registered: SystemExit: 2",
        ),
        (
            REGISTERS,
            "reservd_register_balance_sources():\n    return Source",
            ": reservd_register_balance_sources() must return a list of classes, got <class 'reservd_acme.Source'>",
        ),
        (
            REGISTERS,
            "reservd_register_balance_sources():\n    return 'Source'",
            ": reservd_register_balance_sources() must return a list of classes, got 'Source'",
        ),
        (
            REGISTERS,
            "reservd_register_balance_sources():\n    pass",
            " registers nothing: its hooks must bear @hookimpl",
        ),
        ("@hookimpl\n", "", " registers nothing: its hooks must bear @hookimpl and return classes"),
        (
            REGISTERS,
            "reservd_register_balance_source():\n    return [Source]",
            " cannot be registered: PluginValidationError: unknown hook 'reservd_register_balance_source' in plugin",
        ),
        (
            REGISTERS,
            "reservd_register_balance_sources(config):\n    return [Source]",
            " cannot be registered: PluginValidationError: ",
        ),
        (
            REGISTERS,
            "reservd_register_event_sinks():\n    return [Source]",
            ": event_sinks must be subclasses of EventSink, got <class 'reservd_acme.Source'>",
        ),
        (
            "return [Source]",
            "return ['Source']",
            ": balance_sources must be subclasses of BalanceSource, got 'Source'",
        ),
        (
            "return [Source]",
            "return [Source, Source]",
            " registers 2 balance_sources, all named 'acme': names are unique",
        ),
        ('PLUGIN_NAME = "acme"', 'PLUGIN_NAME = "bank"', ": Source.PLUGIN_NAME must be 'acme', got 'bank'"),
        ('    PLUGIN_NAME = "acme"\n', "", ": Source.PLUGIN_NAME must be 'acme', got None"),
        ("    Config = Options\n", "", ": Source.Config must be a pydantic model with extra='forbid'"),
        ("Config = Options", "Config = dict", ": Source.Config must be a pydantic model with extra='forbid'"),
        (
            '    """No options."""',
            '    model_config = {"extra": "ignore"}',
            ": Source.Config must be a pydantic model with extra='forbid'",
        ),
        ("async def fetch_balances", "async def fetch_balance", ": Source must implement fetch_balances"),
    ],
)
def test_plugin_is_refused_when_it_breaks_the_contract(
    site: Any, source_code: str, old: str, new: str, line: str
) -> None:
    assert old in source_code
    site.add(source_code.replace(old, new))
    assert refusal().startswith(f"plugin 'acme'{line}")
    assert refusal().startswith(f"plugin 'acme'{line}"), "the second time it says the same"


def test_plugin_that_breaks_does_not_spoil_another(site: Any, source_code: str) -> None:
    """Its hooks are unregistered, so that later checks do not blame them."""
    site.add(source_code.replace("balance_sources", "nonsense"))
    site.add(source_code.replace("acme", "bank"), name="bank", distribution="reservd-bank")
    host = PluginHost()
    with pytest.raises(PluginError):
        host.load("acme")
    assert set(host.load("bank")) == {"balance_sources"}
    errors = {plugin.name: plugin.error for plugin in host.installed()}
    assert "unknown hook" in errors["acme"]
    assert errors["bank"] == ""


def test_module_may_not_serve_two_entry_points(site: Any, source_code: str) -> None:
    """One plugin, one name."""
    site.add(source_code, entry_points={"acme": "reservd_acme", "bank": "reservd_acme"})
    host = PluginHost()
    host.load("acme")
    with pytest.raises(PluginError, match="plugin 'bank' cannot be registered: ValueError: Plugin"):
        host.load("bank")
    assert set(host.load("acme")) == {"balance_sources"}


def test_one_plugin_may_have_a_class_of_each_kind() -> None:
    assert [plugin.kinds for plugin in PluginHost().installed() if plugin.name == "paper"] == [
        ("balance_sources", "equity_sources", "replenishers")
    ]
    assert set(KINDS) == {"balance_sources", "equity_sources", "price_sources", "event_sinks", "replenishers"}
