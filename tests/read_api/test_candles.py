"""Candles on the wire."""

import json
from collections.abc import AsyncIterator
from typing import get_args

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.asgi import build
from adapters.candles.history import CandleHistory
from adapters.candles.store import CandleStore
from adapters.settings import Settings
from domain.candles import INTERVALS, MOST_NEWEST, Candle, Columns
from domain.errors import Unavailable
from read_api.candles import CandleReads, IntervalName, pieces
from tests.fakes.candle_venue import HoledVenue, Time, candle_at
from tests.http.app import client_of

FIRST = 1_000_000
MINUTE = INTERVALS["1m"]
PAIR = {"connector_name": "holed", "trading_pair": "BTC-USDT", "interval": "1m"}
KEYS = list(Candle._fields)


@pytest.fixture
def venue():
    made = HoledVenue(Time((FIRST + 20) * 60 + 30.0), MINUTE)
    made.fill(*range(FIRST, FIRST + 20))
    return made


@pytest.fixture
async def client(venue, tmp_path) -> AsyncIterator[httpx.AsyncClient]:
    history = CandleHistory(CandleStore(tmp_path), {"holed": venue}, listed=["holed"], clock=venue._clock)
    app = build([CandleReads], [], {"candles": history}, Settings.from_environment({}))
    async with client_of(app) as made:
        yield made


async def test_connectors_with_candles_are_listed(client):
    assert (await client.get("/market-data/available-candle-connectors")).json() == ["holed"]


async def test_the_newest_candles_end_with_the_open_one(client):
    answer = await client.post("/market-data/candles", json={**PAIR, "max_records": 3})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert [list(item) for item in answer.json()] == [KEYS] * 3
    assert [item["timestamp"] for item in answer.json()] == [(FIRST + n) * 60.0 for n in (18, 19, 20)]
    assert b'"timestamp":60001080.0,"open":10.0,' in answer.content


async def test_the_number_of_newest_candles_is_500_where_nobody_says(client, venue):
    venue.fill(*range(FIRST - 600, FIRST))
    answer = await client.post("/market-data/candles", json={key: PAIR[key] for key in PAIR if key != "interval"})
    assert len(answer.json()) == 500


async def test_past_candles_begin_between_two_times_both_included(client):
    times = {"start_time": FIRST * 60 + 1, "end_time": (FIRST + 3) * 60}
    answer = await client.post("/market-data/historical-candles", json={**PAIR, **times})
    assert [item["timestamp"] for item in answer.json()] == [(FIRST + n) * 60.0 for n in (1, 2, 3)]


async def test_none_is_an_empty_list(client):
    answer = await client.post("/market-data/historical-candles", json={**PAIR, "start_time": 1, "end_time": 600})
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("candles", {"connector_name": "nope"}, 400, "Unsupported connector 'nope'. Available connectors: ['holed']"),
        ("candles", {"trading_pair": "BTCUSDT"}, 400, "Invalid trading pair: 'BTCUSDT'"),
        ("candles", {"trading_pair": "NO-USDT"}, 400, "Trading pair 'NO-USDT'"),
        ("candles", {"interval": "7m"}, 422, "Input should be '12h', '15m'"),
        ("candles", {"max_records": 0}, 422, "greater than or equal to 1"),
        ("candles", {"max_records": 1_000_000}, 422, f"less than or equal to {MOST_NEWEST}"),
        ("historical-candles", {"start_time": 61, "end_time": 60}, 400, "start_time 61 is after end_time 60"),
        ("historical-candles", {"start_time": 0, "end_time": 253_402_300_799}, 400, "are more than 600000"),
        ("historical-candles", {"start_time": 1_735_689_600_000, "end_time": 1}, 422, "equal to 253402300799"),
        ("historical-candles", {"start_time": -1, "end_time": 1}, 422, "greater than or equal to 0"),
        ("historical-candles", {"start_time": 1}, 422, "Field required"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_bound(client, path, body, status, words):
    answer = await client.post(f"/market-data/{path}", json={**PAIR, **body})
    assert answer.status_code == status
    assert words in (answer.json()["detail"] if status == 400 else answer.json()["detail"][0]["msg"])


async def test_a_venue_that_is_away_is_503(client, venue):
    async def away(*_):
        raise Unavailable("holed could not be reached")

    venue.candles = away
    answer = await client.post("/market-data/candles", json=PAIR)
    assert (answer.status_code, answer.json()) == (503, {"detail": "holed could not be reached"})


def test_the_intervals_on_the_wire_are_those_that_there_are():
    assert list(get_args(IntervalName)) == list(INTERVALS)


@given(count=st.integers(0, 9), rows=st.integers(1, 4))
def test_pieces_make_one_list(count, rows):
    candles = [candle_at(MINUTE, number) for number in range(count)]
    columns = Columns(*zip(*candles, strict=True)) if candles else Columns(*[()] * 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("read_api.candles._ROWS", rows)
        made = list(pieces(columns))
    assert json.loads(b"".join(made)) == [candle._asdict() for candle in candles]
    assert len(made) == -(-count // rows) + 1
