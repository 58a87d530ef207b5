"""Which names mean the same money."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.identity import AccountKey, Identities
from reservd.reserve.readings import Account

CHAIN, WALLET = "eip155:1", "0xabc"
USDT, BRIDGED = "erc20:0xdac", "erc20:0xb1d"


def account(venue: str = CHAIN, address: str = WALLET, **identities: str) -> Account:
    return Account("hot", venue, address, frozenset(identities) or None, identities)


def test_asset_is_the_same_under_any_name_when_its_identity_is() -> None:
    first, second = account(USDT=USDT), account(**{"USDT.e": USDT})
    identities = Identities([first, second])
    assert identities.key(first, "USDT") == identities.key(second, "USDT.e") == AccountKey(CHAIN, WALLET, USDT)


def test_assets_are_not_the_same_under_one_name_when_their_identities_are_not() -> None:
    first, second = account(USDT=USDT), account(USDT=BRIDGED)
    identities = Identities([first, second])
    assert identities.key(first, "USDT") != identities.key(second, "USDT")


def test_name_means_what_another_source_of_the_address_calls_so() -> None:
    """As with a wallet that is read from a node, and from a database that knows no tokens."""
    node, database = account(USDT=USDT, ETH="native"), account()
    identities = Identities([database, node])
    assert identities.key(database, "USDT") == identities.key(node, "USDT")
    assert identities.key(database, "DAI") == AccountKey(CHAIN, WALLET, "DAI")


@pytest.mark.parametrize("other", [account(address="0xdef", USDT=USDT), account("eip155:10", USDT=USDT)])
def test_name_says_nothing_of_other_addresses(other: Account) -> None:
    database = account()
    assert Identities([database, other]).key(database, "USDT") == AccountKey(CHAIN, WALLET, "USDT")


def test_name_is_all_that_is_known_when_it_means_different_assets() -> None:
    database, sources = account(), [account(USDT=USDT), account(USDT=BRIDGED)]
    assert Identities([database, *sources]).key(database, "USDT") == AccountKey(CHAIN, WALLET, "USDT")


def test_capitals_mean_nothing_on_a_chain_and_something_elsewhere() -> None:
    assert Identities([]).key(account(address="0xABC", USDT="erc20:0xDAC"), "USDT") == AccountKey(CHAIN, WALLET, USDT)
    database = account(address="0xABC")
    assert Identities([database, account(USDT=USDT)]).key(database, "USDT").asset == USDT
    bank = [account("bank", "main"), account("bank", "MAIN")]
    assert Identities(bank).key(bank[0], "USD") != Identities(bank).key(bank[1], "USD")


NAMES = st.sampled_from(["USDT", "USDT.e", "DAI"])
ACCOUNTS = st.builds(
    lambda venue, address, identities: Account("a", venue, address, None, identities),
    st.sampled_from([CHAIN, "eip155:10"]),
    st.sampled_from([WALLET, "0xDEF"]),
    st.dictionaries(NAMES, st.sampled_from([USDT, BRIDGED])),
)


@given(st.lists(ACCOUNTS, min_size=2, max_size=5), NAMES, NAMES)
def test_different_identities_are_never_the_same_and_equal_ones_always(
    accounts: list[Account], one: str, other: str
) -> None:
    """Whatever other identities there are, and in any order."""
    identities, (first, second) = Identities(accounts), accounts[:2]
    assert identities.key(first, one) == Identities(reversed(accounts)).key(first, one)
    if one in first.asset_ids and other in second.asset_ids:
        same = (first.venue, first.address, first.asset_ids[one]) == (
            second.venue,
            second.address,
            second.asset_ids[other],
        )
        assert (identities.key(first, one) == identities.key(second, other)) is same
