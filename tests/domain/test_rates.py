"""Rates over one pair and over many, against the slow way of finding them."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts import AccountAdded
from domain.errors import Invalid
from domain.events import Event
from domain.rates import (
    DOLLARS,
    LONGEST_WAY,
    NEW,
    SOURCES,
    GlobalTokenChanged,
    Prices,
    RateSettings,
    RateSourceChanged,
    change,
    evolve,
    usd_prices,
)
from tests.domain.given import Given

TOKENS = ("A", "B", "C", "D", "E", "F", "BTC", "USDT", "USDC", "USD", "DAI")
pairs = st.tuples(st.sampled_from(TOKENS), st.sampled_from(TOKENS)).map("-".join)
amounts = st.decimals("0.000001", "1000000", places=6)
known = st.dictionaries(pairs, st.one_of(amounts, st.just(Decimal(0)), st.just(Decimal(-1))), max_size=14)


def ways(prices: dict[str, Decimal], way: list[str], goals: set[str]) -> Iterator[list[str]]:
    """Yield every way without a circle from the last token to a goal, of any allowed length."""
    if way[-1] in goals:
        yield way
    elif len(way) <= LONGEST_WAY:
        for other in TOKENS:
            if other not in way and along(prices, way[-1], other) is not None:
                yield from ways(prices, [*way, other], goals)


def along(prices: dict[str, Decimal], base: str, quote: str) -> Fraction | None:
    """Return the price of one pair, which may only be known the other way round."""
    if (price := prices.get(f"{base}-{quote}", Decimal(0))) > 0:
        return Fraction(price)
    if (price := prices.get(f"{quote}-{base}", Decimal(0))) > 0:
        return 1 / Fraction(price)
    return None


def slowly(prices: dict[str, Decimal], base: str, goals: set[str]) -> Fraction | None:
    """Return the rate along the way that counts, found by looking at all of them."""

    def rank(token: str) -> tuple[int, int, str]:
        dollar = ["USDT", "USDC", "USD"].index(token) if token in {"USDT", "USDC", "USD"} else 3
        return dollar, -sum(along(prices, token, other) is not None for other in TOKENS if other != token), token

    found = min(ways(prices, [base], goals), key=lambda way: (len(way), [rank(token) for token in way]), default=None)
    if found is None:
        return None
    rate = Fraction(1)
    for one, other in pairwise(found):
        rate *= along(prices, one, other) or 0
    return rate


def is_close(ours: Decimal | None, slow: Fraction | None) -> bool:
    """Whether they are the same but for the 80th digit."""
    if ours is None or slow is None:
        return ours is None and slow is None
    return abs(Fraction(ours) - slow) <= slow / 10**75


@settings(max_examples=300, deadline=None)
@given(known, st.sampled_from(TOKENS), st.sampled_from(TOKENS))
def test_a_rate_is_that_of_the_first_of_the_shortest_ways(prices, base, quote):
    assert is_close(Prices(prices).rate(base, quote), slowly(prices, base, {quote}))


@settings(max_examples=300, deadline=None)
@given(known, st.sampled_from(TOKENS))
def test_dollars_are_reached_as_any_token_is(prices, token):
    assert is_close(usd_prices([token], prices).get(token), slowly(prices, token, set(DOLLARS)))


@settings(max_examples=100, deadline=None)
@given(known, st.sampled_from(TOKENS), st.sampled_from(TOKENS), st.randoms(use_true_random=False))
def test_the_order_of_prices_does_not_matter(prices, base, quote, random):
    shuffled = list(prices.items())
    random.shuffle(shuffled)
    assert Prices(dict(shuffled)).rate(base, quote) == Prices(prices).rate(base, quote)


@pytest.mark.parametrize(
    ("pair", "rate"),
    [
        ("BTC-USDT", "50000"),
        ("USDT-BTC", "0.00002"),
        ("BTC-BTC", "1"),
        ("NOPE-NOPE", "1"),
        ("ETH-BTC", "0.05"),
        ("ETH-BRL", "12500"),
        ("LDO-BRL", "12.5"),
        ("BTC-NOPE", None),
        ("DEAD-USDT", None),
        ("FAR-USDT", None),
    ],
)
def test_rates_go_over_pairs_and_inverse_pairs(pair, rate):
    prices = {
        "BTC-USDT": Decimal(50_000),
        "ETH-USDT": Decimal(2_500),
        "LDO-ETH": Decimal("0.001"),
        "USDT-BRL": Decimal(5),
        "DEAD-USDT": Decimal(0),
        "FAR-AWAY": Decimal(1),
        "nonsense": Decimal(1),
        "USDT-USDT": Decimal(2),
    }
    base, quote = pair.split("-")
    assert Prices(prices).rate(base, quote) == (None if rate is None else Decimal(rate))


def test_no_rate_goes_over_more_pairs_than_the_longest_way_has():
    names = [f"T{n}" for n in range(LONGEST_WAY + 2)]
    prices = Prices({f"{one}-{other}": Decimal(2) for one, other in pairwise(names)})
    assert prices.rate(names[0], names[LONGEST_WAY]) == 2**LONGEST_WAY
    assert prices.rate(names[0], names[LONGEST_WAY + 1]) is None


def test_a_rate_over_inverse_pairs_is_rounded_once():
    prices = Prices({"A-B": Decimal(3), "B-C": Decimal(7), "D-C": Decimal(21)})
    assert prices.rate("A", "D") == 1


def test_thousands_of_pairs_on_one_token_are_not_looked_at_for_one_rate():
    prices = Prices({f"T{n}-USDT": Decimal(n) for n in range(1, 3_000)} | {"X-T1": Decimal(2), "Y-T2": Decimal(3)})
    assert prices.rate("X", "Y") == Decimal(1) / Decimal(3)


def told(*events: Event) -> Given[RateSettings]:
    return Given(NEW, evolve, events)


def test_what_is_given_is_changed_and_the_rest_stays():
    euros = GlobalTokenChanged(token="EUR", symbol="€")
    told().when(lambda state: change(state, source="binance")).then(RateSourceChanged(source="binance"))
    told().when(lambda state: change(state, token="EUR")).then(GlobalTokenChanged(token="EUR", symbol="$"))
    told(euros).when(lambda state: change(state, symbol="e")).then(GlobalTokenChanged(token="EUR", symbol="e"))


def test_the_same_again_changes_nothing():
    before = told(RateSourceChanged(source="paper"), GlobalTokenChanged(token="EUR", symbol="€"))
    before.when(lambda state: change(state, source="paper", token="EUR", symbol="€")).then()
    before.when(change).then()


def test_a_source_that_nobody_has_is_refused_with_those_there_are():
    refused = told().when(lambda state: change(state, source="nope", token="EUR"))
    refused.then_refused(Invalid, r"Invalid rate oracle source: nope\. Available sources: \[.*'binance'")


def test_a_fact_of_another_area_changes_nothing():
    assert evolve(NEW, AccountAdded(account="a")) == NEW


def test_a_new_installation_asks_one_of_the_sources():
    assert NEW.source in SOURCES
    assert evolve(NEW, RateSourceChanged(source="paper")) == RateSettings(source="paper")
