import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.exchanges import client_order_ids, names
from adapters.exchanges.client_order_ids import Digits, Number, Short, Uuid, Whole
from adapters.exchanges.dialects import dialect
from domain.errors import Invalid

# What each venue takes, by its documentation; the length of Bitget's, Bitstamp's and Bitrue's is that of the strictest.
ALPHABETS = {
    "binance": r"[.A-Z:/a-z0-9_-]{1,36}",
    "binanceus": r"[.A-Z:/a-z0-9_-]{1,36}",
    "binanceusdm": r"[.A-Z:/a-z0-9_-]{1,36}",
    "okx": r"[A-Za-z0-9]{1,32}",
    "bybit": r"[A-Za-z0-9_-]{1,36}",
    "kucoin": r"[A-Za-z0-9_-]{1,40}",
    "kucoinfutures": r"[A-Za-z0-9_-]{1,40}",
    "gate": r"t-[A-Za-z0-9_.-]{1,28}",
    "kraken": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "coinbase": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "hyperliquid": r"0x[0-9a-f]{32}",
    "bitget": r"[.A-Z:/a-z0-9_-]{1,36}",
    "htx": r"[A-Za-z0-9_-]{1,64}",
    "mexc": r"[A-Za-z0-9_-]{1,32}",
    "bitstamp": r"[A-Za-z0-9_-]{1,36}",
    "bingx": r"[a-z0-9_]{1,40}",
    "bitrue": r"[A-Za-z0-9_-]{1,36}",
    "gemini": r"[:\-_.#a-zA-Z0-9]{1,100}",
    "btcmarkets": r"[A-Za-z0-9_-]{1,32}",
    "foxbit": r"[0-9]{1,20}",
    "backpack": r"[0-9]{1,10}",
    "dydx": r"[0-9]{1,10}",
    "derive": r"[A-Za-z0-9_-]{1,64}",
    "pacifica": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}

EXCHANGES = sorted({known.exchange_id for known in names.CONNECTORS.values() if known.exchange_id})
OURS = st.binary(min_size=16, max_size=16).map(lambda bits: f"n{bits.hex()}")
FORMS = [Whole(), Digits(), Digits("0x"), Uuid(), Short("t-"), Number(4), Number(7)]


def test_the_table_of_alphabets_holds_every_exchange():
    assert sorted(ALPHABETS) == EXCHANGES


@pytest.mark.parametrize("exchange", EXCHANGES)
@settings(max_examples=20, deadline=None)
@given(ours=OURS)
def test_an_id_fits_the_venue_and_is_read_back(exchange, ours):
    name = next(known.name for known in names.CONNECTORS.values() if known.exchange_id == exchange)
    spoken = dialect(name)
    venue_id = spoken.venue_id(ours)
    assert re.fullmatch(ALPHABETS[exchange], venue_id)
    assert spoken.our_id(venue_id) == ours


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@settings(max_examples=50, deadline=None)
@given(theirs=st.text(max_size=64))
def test_an_id_that_is_read_as_ours_is_written_the_same(form, theirs):
    ours = form.read(theirs)
    if ours is not None and not isinstance(form, Number):
        assert form.write(ours).lower() == theirs.lower()


@pytest.mark.parametrize(
    "theirs", ["", "x-TKT5PX2F0123", "web_1", "t-my-order", "N0123456789ABCDEF0123456789ABCDEF", "42"]
)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
def test_an_id_of_somebody_else_is_not_ours(form, theirs):
    assert form.read(theirs) is None


def test_a_number_is_the_same_in_every_process_and_known_where_it_was_written():
    ours = "n0123456789abcdef0123456789abcdef"
    assert Number(4).write(ours) == "2441971496"
    assert Number(4).read("2441971496") is None
    form = Number(4)
    assert form.read(form.write(ours)) == ours


def test_the_oldest_numbers_are_forgotten(monkeypatch):
    monkeypatch.setattr(client_order_ids, "REMEMBERED", 2)
    form = Number(4)
    numbers = [form.write(f"n{n:032x}") for n in range(3)]
    assert [form.read(number) is None for number in numbers] == [True, False, False]


@pytest.mark.parametrize("form", [Digits(), Uuid(), Short("t-")], ids=lambda form: type(form).__name__)
def test_an_id_that_is_not_ours_cannot_be_written(form):
    with pytest.raises(Invalid, match="Client order id 'mine' is not the letter n and 32 hexadecimal digits"):
        form.write("mine")
