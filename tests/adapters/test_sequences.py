"""Books that ccxt keeps, with changes that are lost and repeated: each is the venue's, or its stream ends."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ccxt.base.errors import InvalidNonce
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchanges.clients import VenueClient
from adapters.exchanges.names import connector
from adapters.market_data import sequences

Side = Mapping[float, float]
Change = tuple[list[tuple[int, int]], list[tuple[int, int]]]  # bids and asks: price, amount


def backpack(first: int, last: int, bids, asks) -> dict[str, Any]:
    return {"U": first, "u": last, "T": 1, "b": _texts(bids), "a": _texts(asks)}


def kucoin(first: int, last: int, bids, asks) -> dict[str, Any]:
    changes = {"bids": [[*each, "0"] for each in _texts(bids)], "asks": [[*each, "0"] for each in _texts(asks)]}
    return {"sequenceStart": first, "sequenceEnd": last, "time": 1, "changes": changes}


def mexc(first: int, last: int, bids, asks) -> dict[str, Any]:
    named = [[{"price": price, "quantity": amount} for price, amount in _texts(side)] for side in (bids, asks)]
    return {"fromVersion": str(first), "toVersion": str(last), "bids": named[0], "asks": named[1]}


def _texts(side) -> list[list[str]]:
    return [[str(price), str(amount)] for price, amount in side]


DIALECTS: dict[str, Callable[..., dict[str, Any]]] = {"backpack": backpack, "kucoin": kucoin, "mexc": mexc}
LEVELS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3)), max_size=3)
STEPS = st.lists(
    st.tuples(LEVELS, LEVELS, st.integers(1, 3), st.sampled_from(["told", "told", "lost", "repeated"])),
    max_size=12,
)


def checked(name: str) -> Any:
    exchange = VenueClient(connector(name)).exchange
    exchange.number = float
    sequences.check(connector(name).exchange_id, exchange)
    return exchange


EXCHANGES = {name: checked(name) for name in DIALECTS}


def sides_of(book: Any) -> tuple[Side, Side]:
    bids, asks = ({float(level[0]): float(level[1]) for level in book[side]} for side in ("bids", "asks"))
    return bids, asks


@pytest.mark.parametrize("name", DIALECTS)
@given(steps=STEPS)
def test_a_book_is_the_venue_s_after_any_changes_or_it_is_begun_anew(name, steps):
    exchange, tell = EXCHANGES[name], DIALECTS[name]
    book = exchange.order_book()
    number = 100
    venue: tuple[dict[float, float], dict[float, float]] = ({5.0: 1.0}, {15.0: 1.0})
    book.reset({"bids": [[5.0, 1.0]], "asks": [[15.0, 1.0]], "nonce": number})
    is_whole = True  # nothing that was told is missing in the book
    began = False
    for bids, asks, count, fate in steps:
        said = tell(number + 1, number + count, bids, asks)
        number += count
        for side, levels in zip(venue, (bids, asks), strict=True):
            for price, amount in levels:
                side[float(price)] = float(amount)
                if not amount:
                    del side[float(price)]
        if fate == "lost":
            is_whole = False
            if not began:
                return  # whether the first change fits the snapshot is for ccxt to see
            continue
        if not is_whole:
            with pytest.raises(InvalidNonce, match=f"{name} left out the changes "):
                exchange.handle_book_delta(book, said)
            assert (book["nonce"], book.cache) == (None, [])
            levels = [[list(level) for level in side.items()] for side in venue]
            book.reset({"bids": levels[0], "asks": levels[1], "nonce": number})
            is_whole, began = True, False
        else:
            for _ in range(2 if fate == "repeated" and name != "kucoin" else 1):  # where ccxt hands on what it knows
                exchange.handle_book_delta(book, said)
            began = True
        assert sides_of(book) == venue


def test_a_venue_that_is_not_in_the_table_is_left_as_it_is():
    exchange = VenueClient(connector("binance")).exchange
    sequences.check("binance", exchange)
    assert "handle_book_delta" not in vars(exchange)


def test_a_book_that_tells_no_numbers_is_taken_as_it_comes():
    exchange = EXCHANGES["kucoin"]
    book = exchange.order_book()
    book.reset({"bids": [], "asks": [], "nonce": 5})
    exchange.handle_book_delta(book, kucoin(6, 6, [(1, 1)], []))
    exchange.handle_book_delta(book, {"time": 2, "changes": {"bids": [["2", "1", "0"]], "asks": []}})
    assert sides_of(book) == ({1.0: 1.0, 2.0: 1.0}, {})
