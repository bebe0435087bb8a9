"""Whatever goes wrong at a venue or on the way there, the log ends up telling what the venue did."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.orders import OrderExpired, OrderPlaced, OrderRejected, Status, stream_of
from domain.reconciliation import AccountReconciled, DifferenceFound
from tests.contract.serving import Nectar, until
from tests.venues.floor import Keys
from tests.venues.ledger import Market
from tests.venues.ledger import Status as VenueStatus
from tests.venues.levers import Lever, Pull
from tests.venues.scene import Scene, stands_by
from tests.venues.storm import storm, table
from tests.venues.traders import ACCOUNTS
from tests.venues.truth import differences
from tests.venues.venue_process import VenueProcess

MASTER, SPOT = "master_account", "binance"
ALICE = ((MASTER, SPOT),)
EVERYTHING = frozenset(
    {"place", "cancel", "order", "orders", "trades", "balances", "positions", "settings", "stream", "public"}
)
STREAM = frozenset({"stream"})
TAKES_OVER_SECONDS = 10.0  # a promise
DOWN = Pull(lever=Lever.FAIL_BEFORE, on=EVERYTHING, status=503)


@contextmanager
def scene_in(folder: Path, database_url: str) -> Iterator[Scene]:
    with VenueProcess(folder, accounts=list(ACCOUNTS.values())) as venue:
        made = Scene(folder, venue, database_url)
        try:
            yield made
        finally:
            made.nectar.stop()


@pytest.fixture
def scene(tmp_path: Path, empty_database_url: str) -> Iterator[Scene]:
    with scene_in(tmp_path, empty_database_url) as made:
        yield made


def ask(scene: Scene, server: Nectar | None = None, **change: object) -> tuple[int, dict[str, Any]]:
    """Ask for an order, and wait for the venue's word on it."""
    wanted = {
        "account_name": MASTER,
        "connector_name": SPOT,
        "trading_pair": "BTC-USDT",
        "trade_type": "BUY",
        "amount": 0.01,
        "order_type": "LIMIT",
        "price": 59_000,
        "position_action": "OPEN",
        **change,
    }
    with (server or scene.nectar).client() as client:
        answer = client.post("/trading/orders", json=wanted, headers={"Prefer": "wait=15"})
        return answer.status_code, answer.json()


def place(scene: Scene, server: Nectar | None = None, **change: object) -> str:
    """Place an order that the venue takes, and return its id."""
    status, answer = ask(scene, server, **change)
    assert (status, answer.get("state")) in {(201, "accepted"), (201, "filled")}, answer
    return str(answer["order_id"])


def status(scene: Scene, order_id: str) -> Status:
    return scene.log().orders[stream_of(order_id)].status


async def test_a_storm_leaves_the_log_as_the_venue_says(tmp_path: Path, empty_database_url: str):
    outcome = await storm(tmp_path, empty_database_url, seed=1, orders=150, kills=2)
    assert not outcome.differences, table(outcome)
    assert sum(outcome.pulled.values()) > 20, table(outcome)
    assert {"filled", "canceled"} <= set(outcome.finals), table(outcome)


def test_what_happened_while_the_stream_was_dead_is_found(scene: Scene):
    scene.open_accounts(ALICE)
    order_id = place(scene)
    scene.venue.pull(Pull(lever=Lever.SILENCE_STREAM, on=STREAM, seconds=3))
    scene.move("BTC-USDT", "58000")
    scene.refresh()
    assert status(scene, order_id) is Status.ACCEPTED
    scene.venue.pull(Pull(lever=Lever.DROP_STREAM, on=STREAM))

    def is_dropped() -> bool:
        place(scene, price=50_000)
        return Lever.DROP_STREAM in scene.venue.books().pulled

    until(is_dropped)
    until(lambda: status(scene, order_id) is Status.FILLED)
    scene.agree()
    log = scene.log()
    assert "reconnect" in {run.trigger for run in log.of(AccountReconciled)}
    assert any(found.subject.startswith(f"{order_id} ") for found in log.of(DifferenceFound))


def test_a_venue_that_is_down_at_the_start_keeps_nothing_else_waiting(scene: Scene):
    scene.open_accounts(ALICE)
    order_id = place(scene)
    scene.nectar.kill()
    scene.venue.pull(DOWN, probability=1)
    scene.move("BTC-USDT", "58000")
    scene.nectar.start()
    code, answer = ask(scene)
    assert code == 503, answer
    assert "not connected to binance" in answer["detail"]
    assert ask(scene, connector_name="paper")[0] == 201
    scene.venue.release()
    until(lambda: status(scene, order_id) is Status.FILLED, 45)
    place(scene, price=57_000)
    scene.agree()


def test_wrong_keys_are_refused_in_the_venues_words_and_the_old_ones_stay(scene: Scene):
    scene.open_accounts(ALICE)
    right = scene.credentials(MASTER, SPOT)
    for field, words in (("binance_api_key", "-2015"), ("binance_api_secret", "-1022")):
        wrong = {**right, field: right[field][:-4] + "0000"}
        with scene.nectar.client() as client:
            answer = client.post(f"/accounts/add-credential/{MASTER}/{SPOT}", json=wrong)
        assert answer.status_code == 400, answer.text
        assert words in answer.json()["detail"]
    place(scene)
    scene.nectar.kill()
    scene.nectar.start()
    scene.connected()
    place(scene)
    scene.agree()
    assert_hidden(scene, scene.venue.keys["alice"])


def test_keys_that_are_revoked_end_what_can_be_done_and_nothing_else(scene: Scene):
    scene.open_accounts((*ALICE, ("second", SPOT)))
    rests = place(scene)
    scene.venue.revoke("alice")
    code, answer = ask(scene)
    assert (code, answer["state"]) == (201, "rejected"), answer
    assert "-2015" in answer["reason"]
    assert status(scene, rests) is Status.ACCEPTED
    theirs = place(scene, account_name="second", price=60_100)
    assert status(scene, theirs) is Status.FILLED
    scene.nectar.kill()
    scene.nectar.start()
    until(lambda: ask(scene)[0] == 400)
    assert "-2015" in ask(scene)[1]["detail"]
    until(lambda: ask(scene, account_name="second", price=50_000)[0] == 201)
    assert_hidden(scene, scene.venue.keys["alice"])


def test_a_pair_that_is_delisted_ends_its_orders_and_no_others(scene: Scene):
    scene.open_accounts(ALICE)
    gone = place(scene, trading_pair="SOL-USDT", amount=1, price=100)
    stays = place(scene)
    scene.venue.delist("SOL-USDT")
    until(lambda: status(scene, gone) is Status.EXPIRED)
    code, answer = ask(scene, trading_pair="SOL-USDT", amount=1, price=100)
    assert (code, answer["state"]) == (201, "rejected"), answer
    scene.nectar.kill()
    scene.nectar.start()
    scene.connected()
    code, answer = ask(scene, trading_pair="SOL-USDT", amount=1, price=100)
    assert code == 400, answer
    assert status(scene, stays) is Status.ACCEPTED
    scene.agree()
    assert [type(e.event) for e in scene.log().histories[stream_of(gone)]].count(OrderExpired) == 1


@pytest.mark.parametrize("seconds", [5, -5])
def test_a_clock_that_is_off_is_noticed_and_lived_with(scene: Scene, seconds: int):
    scene.open_accounts(ALICE)
    scene.venue.skew(seconds)
    # The venue refuses unread what seems to come from another time, says so, and is asked for its time.
    answers = [ask(scene)[1] for _ in range(2)]
    assert answers[0]["state"] in {"accepted", "rejected"}
    assert answers[1]["state"] == "accepted", answers
    scene.nectar.kill()
    scene.nectar.start()
    scene.connected()
    order_id = place(scene)
    scene.move("BTC-USDT", "58000")
    until(lambda: status(scene, order_id) is Status.FILLED)
    scene.agree()


def test_two_accounts_on_one_exchange_have_their_own_orders(scene: Scene):
    scene.open_accounts((*ALICE, ("second", SPOT)))
    rests = place(scene, price=59_999)
    meets = place(scene, account_name="second", trade_type="SELL", price=59_990)
    until(lambda: {status(scene, rests), status(scene, meets)} == {Status.FILLED})
    scene.agree()
    placed = {e.client_order_id: e.account for e in scene.log().of(OrderPlaced)}
    assert placed == {rests: MASTER, meets: "second"}
    assert scene.log().of(OrderRejected) == []


def test_no_difference_is_too_small_to_be_said(scene: Scene):
    scene.open_accounts(ALICE)
    place(scene, order_type="MARKET", price=None)
    scene.agree()
    log, books = scene.log(), scene.venue.books()
    change, (order,), (trade,) = msgspec.structs.replace, books.orders, books.trades
    (client_id,) = books.received
    tokens = books.holdings["alice"]
    more = [change(holding, units=holding.units + Decimal("1e-18")) for holding in tokens[Market.SPOT]]
    other_id = change(order, client_id="web", order_id=7)
    for wrong, words in (
        (change(books, orders=[]), "the venue does not have it"),
        (change(books, orders=[change(order, status=VenueStatus.CANCELED)]), "CANCELED at the venue"),
        (change(books, trades=[change(trade, fee=trade.fee + Decimal("1e-18"))]), "by the log"),
        (change(books, trades=[trade, change(trade, trade_id=7)]), "by the log"),
        (change(books, received={client_id: 2}), "came to the venue 2 times"),
        (change(books, orders=[order, other_id]), "somebody else was not observed"),
        (change(books, holdings={**books.holdings, "alice": {**tokens, Market.SPOT: more}}), "on binance has"),
    ):
        assert words in "".join(differences(log, wrong, places=ALICE)), words
    assert differences(log, books, places=ALICE) == []
    assert "nobody was told" in "".join(differences(log, books, [], ALICE))


def test_a_second_server_takes_over_the_account_streams(scene: Scene):
    scene.open_accounts(ALICE)
    order_id = place(scene)
    second = scene.server("second").launch()
    try:
        until(lambda: stands_by(second))
        assert ask(scene, second)[0] == 503
        assert "account_connected" not in second.output()
        scene.nectar.kill()
        scene.move("BTC-USDT", "58000")
        until(lambda: status(scene, order_id) is Status.FILLED, TAKES_OVER_SECONDS)
        until(second.is_ready)
        place(scene, second, price=57_000)
        scene.agree(server=second)
    finally:
        second.stop()


def assert_hidden(scene: Scene, keys: Keys) -> None:
    """No secret is in the log, nor in what the server printed."""
    told = scene.nectar.output() + json.dumps([str(each.event) for each in scene.log().events])
    for secret in (keys.api_key, keys.secret):
        assert secret not in told
