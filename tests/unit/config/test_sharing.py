"""Modes that count the same money: recognized by chain or venue, account and asset, and agreed on how it is split."""

from typing import Any

import pytest

from reservd.config.accounts import identify, resolve_holdings

SECOND = """\
mode: second
share_class: USDT
reserve_ratio: 0.05
reserve_balance_sources: [vault]
reserve_equity_source: nav
"""
ADDRESS = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
CHAIN = (
    "{{plugin: evm, options: {{rpc_url: 'http://127.0.0.1:1', chain_id: 1,"
    " assets: {{USDT: {{token: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8'}}, ETH: {{native: true}}}},"
    " accounts: {accounts}}}}}"
)


def configure(folder: Any, first: str, second: str = "") -> None:
    """Let two modes share `vault`, with these additional keys."""
    folder.mode(more=first)
    folder.write("modes/b.yaml", SECOND + second)


@pytest.mark.parametrize(
    "keys",
    [
        ("", ""),
        ("", "reserve_allocation: pro_rata\n"),
        (
            "reserve_allocation: priority\nreserve_allocation_priority: 1\n",
            "reserve_allocation: priority\nreserve_allocation_priority: 1\n",
        ),
        (
            "reserve_allocation: dedicated\nreserve_allocation_ratio: 0.6\n",
            "reserve_allocation: dedicated\nreserve_allocation_ratio: 0.4\n",
        ),
        (
            "reserve_allocation: dedicated\nreserve_allocation_ratio: 1\n",
            "reserve_allocation: dedicated\nreserve_allocation_amount: 1000\n",
        ),
    ],
)
def test_account_is_shared_when_all_agree_how(folder: Any, keys: tuple[str, str]) -> None:
    configure(folder, *keys)
    assert set(folder.load().modes) == {"pure_lending", "second"}


@pytest.mark.parametrize(
    ("first", "second", "problems"),
    [
        (
            "reserve_allocation: priority\nreserve_allocation_priority: 1\n",
            "",
            [
                (
                    "modes/b.yaml:4:26: reserve_allocation: must be priority, as pure_lending has it, which shares "
                    "USDT of vault main; got pro_rata"
                )
            ],
        ),
        (
            "",
            "reserve_allocation: dedicated\nreserve_allocation_ratio: 0.5\n",
            [
                (
                    "modes/b.yaml:6:21: reserve_allocation: must be pro_rata, as pure_lending has it, which shares "
                    "USDT of vault main; got dedicated"
                )
            ],
        ),
        (
            "reserve_allocation: priority\n",
            "reserve_allocation: priority\nreserve_allocation_priority: 2\n",
            [
                (
                    "modes/a.yaml:4:26: reserve_allocation_priority: is required where reserve_allocation is priority: "
                    "USDT of vault main is shared with second"
                )
            ],
        ),
        (
            "reserve_allocation: dedicated\nreserve_allocation_amount: 5\n",
            "reserve_allocation: dedicated\n",
            [
                (
                    "modes/b.yaml:4:26: reserve_allocation_ratio: is required, or reserve_allocation_amount in its "
                    "place, where reserve_allocation is dedicated: USDT of vault main is shared with pure_lending"
                )
            ],
        ),
        (
            "reserve_allocation: dedicated\nreserve_allocation_ratio: 0.7\n",
            "reserve_allocation: dedicated\nreserve_allocation_ratio: 0.31\n",
            [
                (
                    "modes/b.yaml:7:27: reserve_allocation_ratio: must be at most 0.3, what the others leave of "
                    "USDT of vault main, got 0.31"
                )
            ],
        ),
    ],
)
def test_sharing_is_refused_when_the_modes_do_not_agree_how(
    folder: Any, first: str, second: str, problems: list[str]
) -> None:
    configure(folder, first, second)
    assert folder.problems() == problems


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("reserve_allocation: fair\n", "must be 'pro_rata', 'priority' or 'dedicated', got 'fair'"),
        ("reserve_allocation_priority: 1\n", "must not be given unless reserve_allocation is priority, got 1"),
        ("reserve_allocation_amount: 1\n", "must not be given unless reserve_allocation is dedicated, got 1"),
        ("reserve_allocation: priority\nreserve_allocation_priority: 0\n", "must be at least 1, got 0"),
        ("reserve_allocation: dedicated\nreserve_allocation_ratio: 1.1\n", "must be at most 1, got 1.1"),
        (
            "reserve_allocation: dedicated\nreserve_allocation_amount: 1\nreserve_allocation_ratio: 0.1\n",
            "must not be given beside reserve_allocation_amount, got 0.1",
        ),
        ("reserve_require_agreement: 1\n", "must be true or false, got 1"),
    ],
)
def test_keys_of_sharing_are_refused_when_they_do_not_go_together(folder: Any, keys: str, line: str) -> None:
    folder.mode(more=keys)
    (problem,) = folder.problems()
    assert problem.endswith(line)


def test_method_needs_no_number_when_nothing_is_shared(folder: Any) -> None:
    folder.mode(more="reserve_allocation: priority\n")
    assert folder.load().modes["pure_lending"].allocation.priority is None


def test_disagreement_is_told_once_when_several_accounts_are_shared(folder: Any) -> None:
    folder.main(
        "{asset: USDT, amount: 100}", "{account: x, asset: USDT, amount: 1}, {account: y, asset: USDT, amount: 1}"
    )
    configure(folder, "reserve_allocation: dedicated\nreserve_allocation_ratio: 0.1\n", "")
    assert len(folder.problems()) == 1


def test_disagreement_is_located_in_the_defaults_when_they_say_it(folder: Any) -> None:
    folder.main(more="defaults: {reserve_allocation: priority}\n")
    configure(folder, "reserve_allocation: pro_rata\n")
    (problem,) = folder.problems()
    assert problem.startswith("reservd.yaml:8:32: reserve_allocation: must be pro_rata, as pure_lending has it")


def test_account_is_known_when_two_sources_name_it(folder: Any) -> None:
    """The same venue and address are the same money, whatever the source and the spelling."""
    extra = (
        f"  chain: {CHAIN.format(accounts='{hot: ' + ADDRESS + '}')}\n"
        f"  other: {CHAIN.format(accounts='{warm: ' + ADDRESS.lower() + '}')}\n"
    )
    folder.main("balance_sources:\n", f"balance_sources:\n{extra}")
    folder.mode("[vault]", "[vault, chain]\nreserve_allocation: priority")
    folder.write("modes/b.yaml", SECOND.replace("[vault]", "[other]"))
    priority, method = folder.problems()
    assert f"USDT of eip155:1 {ADDRESS.lower()} is shared with second" in priority
    assert f"which shares USDT of eip155:1 {ADDRESS.lower()}; got pro_rata" in method


def test_account_counts_once_when_one_mode_names_it_twice(folder: Any) -> None:
    both = "{hot: {address: '" + ADDRESS + "', assets: [USDT]}}"
    extra = f"  chain: {CHAIN.format(accounts=both)}\n  other: {CHAIN.format(accounts=both)}\n"
    folder.main("balance_sources:\n", f"balance_sources:\n{extra}")
    folder.mode("[vault]", "[vault, other/hot, chain]\nreserve_require_agreement: true")
    assert folder.load().modes["pure_lending"].reserve_require_agreement


def test_account_is_not_shared_when_the_modes_count_other_assets(folder: Any) -> None:
    extra = f"  other: {CHAIN.format(accounts='{warm: ' + ADDRESS + '}')}\n"
    folder.main("balance_sources:\n", f"balance_sources:\n{extra}")
    folder.write("modes/b.yaml", SECOND.replace("[vault]", "[other]").replace("USDT", "ETH"))
    folder.mode("[vault]", "[vault, other]\nreserve_allocation: priority")
    assert set(folder.load().modes) == {"pure_lending", "second"}


def test_alias_is_shared_like_the_asset_itself(folder: Any) -> None:
    folder.main("{asset: USDT, amount: 100}", "{asset: USDT, amount: 1}, {asset: USDT.e, amount: 1}")
    folder.mode(more="reserve_asset_aliases: {USDT.e: USDT}\nreserve_allocation: priority\n")
    folder.write("modes/b.yaml", SECOND.replace("USDT", "USDT.e") + "reserve_allocation: priority\n")
    assert all("USDT.e of vault main is shared with" in problem for problem in folder.problems())


TOKEN, OTHER_TOKEN = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8", "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc"
NODE = "{plugin: evm, options: {rpc_url: 'http://127.0.0.1:1', chain_id: 1, "
QUERY = "{plugin: prometheus, options: {url: 'http://127.0.0.1:1', venue: 'eip155:1', "
POOL = f"pool: '{OTHER_TOKEN}', accounts: {{hot: '{ADDRESS}'}}"
VAULT = f"accounts: {{hot: {{vault: '{OTHER_TOKEN}', holder: '{ADDRESS}', asset: ASSET}}}}"
WALLET = f"{NODE}accounts: {{hot: '{ADDRESS}'}}, assets: {{ASSET: "
READ = {
    "wallet": f"{WALLET}{{token: '{TOKEN}'}}}}}}}}",
    "wallet of another token": f"{WALLET}{{token: '{OTHER_TOKEN}'}}}}}}}}",
    "wallet of coins": f"{WALLET}{{native: true}}}}}}}}",
    "wallet by query": f"{QUERY}accounts: {{hot: {{address: '{ADDRESS}', asset: ASSET, query: x}}}}}}}}",
    "vault": f"{NODE}{VAULT}}}}}".replace("evm,", "erc4626,"),
    "lending market": f"{NODE}{POOL}, reserves: {{ASSET: '{TOKEN}'}}}}}}".replace("evm,", "aave_v3,"),
}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("wallet", "USDT"), ("wallet", "USDT.e"), True),
        (("wallet of coins", "USDT"), ("wallet of coins", "USDT.e"), True),
        (("vault", "USDT"), ("vault", "USDT.e"), True),
        (("lending market", "USDT"), ("lending market", "USDT.e"), True),
        (("wallet", "USDT"), ("wallet by query", "USDT"), True),
        (("wallet", "USDT"), ("wallet of another token", "USDT"), False),
        (("wallet", "USDT"), ("wallet of coins", "USDT"), False),
        (("wallet", "USDT"), ("wallet by query", "USDT.e"), False),
        (("wallet", "USDT"), ("vault", "USDT"), False),
        (("wallet", "USDT"), ("lending market", "USDT"), False),
        (("vault", "USDT"), ("lending market", "USDT"), False),
    ],
)
def test_money_is_known_by_what_it_is_and_not_by_its_name(
    folder: Any, first: tuple[str, str], second: tuple[str, str], same: bool
) -> None:
    """Two modes that cannot share are refused if they count the same money, and accepted otherwise."""
    sources = [
        f"  {name}: {READ[what].replace('ASSET', asset)}\n" for name, (what, asset) in (("one", first), ("two", second))
    ]
    folder.main("balance_sources:\n", f"balance_sources:\n{''.join(sources)}")
    aliases = "\nreserve_asset_aliases: {USDT.e: USDT}"
    folder.mode("[vault]", f"[vault, one]\nreserve_allocation: priority{aliases}")
    folder.write("modes/b.yaml", SECOND.replace("[vault]", f"[two]{aliases}"))
    if not same:
        assert set(folder.load().modes) == {"pure_lending", "second"}
        return
    assert ["reserve_allocation" in problem for problem in folder.problems()] == [True, True]


def test_token_counts_once_when_one_mode_names_it_in_two_ways(folder: Any) -> None:
    names = [f"  {name}: {READ['wallet'].replace('ASSET', name)}\n" for name in ("USDT", "USDT.e")]
    folder.main("balance_sources:\n", f"balance_sources:\n{''.join(names)}")
    folder.mode("[vault]", "[USDT, USDT.e]\nreserve_asset_aliases: {USDT.e: USDT}")
    loaded = folder.load()
    sources = loaded.balance_sources
    (holding,), problems = resolve_holdings(loaded.modes["pure_lending"], sources, identify(sources))
    assert (holding.label, [twin.label for twin in holding.twins], problems) == ("USDT/hot", ["USDT.e/hot"], [])
