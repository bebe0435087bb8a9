"""Archived bots as recorded, figure by figure, through the published client, and without the defects of the reference.

The number in a comment is the defect's.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.archives import path_of, put, put_corrupt
from tests.contract.archive_cases import CASES, OF_SAMPLE
from tests.contract.comparing import differences
from tests.contract.serving import Nectar, answered_while, until
from tests.contract.test_client import connected, methods
from tests.contract.test_golden import GOLDEN, recorded

pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def archive_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nectar]:
    """A server over the archives that the recordings are of, all of them in its log."""
    root = tmp_path_factory.mktemp("archives")
    for sample, path in OF_SAMPLE.items():
        if sample != "corrupt":
            put(root, sample, path.rpartition("/")[2].removesuffix(".sqlite"))
    put_corrupt(root)
    put_corrupt(root, "to_delete")
    server = Nectar(root / "data", {"BOTS_PATH": str(root)})
    try:
        with server.start().client() as client:
            until(lambda: all(settled(client, path) for path in OF_SAMPLE.values()))
            until(lambda: settled(client, path_of("to_delete")))
        yield server
    finally:
        server.stop()


def settled(client: httpx.Client, path: str) -> bool:
    answer = client.get(f"/archived-bots/{path}/status")
    return answer.status_code == 200 and answer.json()["state"] != "importing"


@pytest.fixture
def archives(archive_server: Nectar) -> Iterator[httpx.Client]:
    with archive_server.client() as client:
        yield client


def test_every_recorded_answer_has_a_case():
    assert {f"archived_bots/{file.stem}" for file in (GOLDEN / "archived_bots").glob("*.json")} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_ours_answers_as_recorded(name, archives):
    case, golden = CASES[name], recorded(name)
    answer = archives.request(case.method, case.path, json=case.body)
    assert answer.status_code == (case.status or golden["status"]), answer.text
    if case.words:
        assert case.words in answer.json()["detail"]
    if golden["status"] < 500:
        assert list(differences(golden["body"], answer.json(), nullable=case.nullable)) == []


def ours(client: httpx.Client, sample: str, word: str) -> Any:
    return client.get(f"/archived-bots/{OF_SAMPLE[sample]}/{word}").raise_for_status().json()


def of_golden(sample: str, word: str) -> Any:
    return recorded(f"archived_bots/get_database_{word}__{sample}")["body"]


def kept(items: list[Any]) -> list[Any]:
    """Return the items of a recorded list that were not cut off it."""
    return [item for item in items if "__cut__" not in item]


SAMPLES = ("old_no_position_table", "real_run", "synth_1ctrl_spot", "synth_2ctrl_40exec")
DIFFERENT = {"positions": {"realized_pnl_quote"}}  # 10


@pytest.mark.parametrize("word", ["controllers", "executors", "orders", "positions", "trades"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_rows_are_those_of_the_reference(archives, sample, word):
    golden = recorded(f"archived_bots/get_database_{word}__{sample}")
    if golden["status"] == 500:
        assert (sample, word) == ("old_no_position_table", "positions")
        assert ours(archives, sample, word)["positions"] == []
        return
    rows = kept(golden["body"][word])
    assert rows
    for theirs, row in zip(rows, ours(archives, sample, word)[word], strict=False):
        for name in theirs.keys() - DIFFERENT.get(word, set()):
            if name == "trade_fee" and theirs[name] == 0:  # which the reference says of the first one of each pair
                assert row[name] == row["trade_fee_in_quote"] == theirs["trade_fee_in_quote"]
                continue
            # The bot's times are floats of seconds, which ours are of microseconds.
            wanted = pytest.approx(theirs[name], rel=1e-9) if isinstance(theirs[name], float) else theirs[name]
            assert row[name] == wanted, name


SUMS = ("realized_trade_pnl_quote", "unrealized_trade_pnl_quote")
SAME = (
    *(
        "amount",
        "price",
        "trade_type",
        "connector_name",
        "buy_avg_price",
        "buy_volume",
        "sell_avg_price",
        "sell_volume",
    ),
    *("net_position", "fees_quote", "volume_quote", "cum_volume_quote", "timestamp", "trading_pair"),
)


@pytest.mark.parametrize("sample", ["old_no_position_table", "synth_2ctrl_40exec"])
def test_every_step_earns_what_the_reference_says_in_all(archives, sample):
    """The reference takes realized profit from the averages of all buys and all sells, ours from what was open.

    So the two parts differ, and their sum does not.
    """
    steps = kept(of_golden(sample, "performance")["performance_data"])
    apart = 0
    for theirs, step in zip(steps, ours(archives, sample, "performance")["performance_data"], strict=False):
        assert {name: step[name] for name in SAME} == pytest.approx({name: theirs[name] for name in SAME})
        assert sum(step[name] for name in SUMS) == pytest.approx(sum(theirs[name] for name in SUMS), abs=1e-8)
        apart += step[SUMS[0]] != pytest.approx(theirs[SUMS[0]], abs=1e-8)
    assert apart > 0


# 8
@pytest.mark.parametrize("sample", SAMPLES)
def test_net_profit_is_over_all_markets_and_after_all_fees(archives, sample):
    """What was received less what was paid, what is held at its last price, and every fee: by hand, of rows alone."""
    trades = ours(archives, sample, "trades?limit=1000")["trades"]
    cash = fees = volume = Decimal(0)
    held: dict[tuple[str, str], Decimal] = {}
    last: dict[tuple[str, str], Decimal] = {}
    for trade in trades:
        market = (trade["connector_name"], trade["trading_pair"])
        amount, price = Decimal(str(trade["amount"])), Decimal(str(trade["price"]))
        signed = amount if trade["trade_type"] == "BUY" else -amount
        cash -= signed * price
        fees += Decimal(str(trade["trade_fee_in_quote"]))
        volume += amount * price
        held[market], last[market] = held.get(market, Decimal(0)) + signed, price
    net = cash + sum(amount * last[market] for market, amount in held.items()) - fees
    summary = ours(archives, sample, "performance")["summary"]
    assert summary["total_trades"] == len(trades)
    assert summary["final_net_pnl_quote"] == pytest.approx(float(net), abs=1e-9)
    assert summary["total_fees_quote"] == pytest.approx(float(fees), abs=1e-9)
    assert summary["total_volume_quote"] == pytest.approx(float(volume), abs=1e-6)


# 8
@pytest.mark.parametrize(
    ("sample", "net", "volume"),
    [
        ("old_no_position_table", -2.3767390835, 4003.47041561038),
        ("synth_2ctrl_40exec", -36.231705085831, 32491.8682597718),
    ],
)
def test_the_samples_earned_what_their_rows_add_up_to(archives, sample, net, volume):
    summary, theirs = ours(archives, sample, "performance")["summary"], of_golden(sample, "performance")["summary"]
    assert summary["final_net_pnl_quote"] == pytest.approx(net, abs=1e-9)
    assert summary["total_volume_quote"] == pytest.approx(volume, abs=1e-9)
    assert summary["total_fees_quote"] == pytest.approx(theirs["total_fees_quote"], abs=1e-9)
    assert theirs["final_net_pnl_quote"] > net / 2
    assert theirs["total_volume_quote"] < volume


# 9
@pytest.mark.parametrize("sample", ["real_run", "synth_1ctrl_spot"])
def test_a_bot_that_sold_first_has_a_performance(archives, sample):
    steps = ours(archives, sample, "performance")["performance_data"]
    firsts: dict[str, dict[str, Any]] = {}
    for step in steps:
        firsts.setdefault(step["trading_pair"], step)
    sold = [step for step in firsts.values() if step["trade_type"] == "SELL"]
    assert sold
    for step in sold:
        assert (step["buy_avg_price"], step["realized_trade_pnl_quote"]) == (0, 0)
        assert step["net_position"] == -step["amount"]
        assert step["net_pnl_quote"] == pytest.approx(-step["fees_quote"], abs=1e-9)


# 10
@pytest.mark.parametrize("sample", ["real_run", "synth_1ctrl_spot", "synth_2ctrl_40exec"])
def test_realized_profit_of_positions_is_a_millionth_of_what_the_reference_says(archives, sample):
    pairs = zip(
        of_golden(sample, "positions")["positions"], ours(archives, sample, "positions")["positions"], strict=True
    )
    for theirs, position in pairs:
        assert position["realized_pnl_quote"] == pytest.approx(theirs["realized_pnl_quote"] / 10**6, abs=1e-12)


# 29
def test_performance_of_archives_freezes_nobody(archive_server):
    def ask(number: int) -> int:
        with archive_server.client() as client:
            for sample in SAMPLES:
                ours(client, sample, "performance")
                client.get("/analytics/performance", params={"group_by": "bot,pair,day"}).raise_for_status()
        return number

    assert answered_while(archive_server, ask, 8) > 0.8 * (2 * 8 * len(SAMPLES))


# 32
def test_a_page_of_an_archive_is_what_was_asked_for(archives):
    whole = ours(archives, "synth_2ctrl_40exec", "trades?limit=1000")
    page = ours(archives, "synth_2ctrl_40exec", "trades?limit=5&offset=3")
    assert page["trades"] == whole["trades"][3:8]
    assert page["pagination"] == {"total": 226, "limit": 5, "offset": 3, "has_more": True}


async def test_every_method_of_the_client_s_archived_bots(archive_server, tmp_path):
    path = OF_SAMPLE["synth_2ctrl_40exec"]
    put(archive_server.data.parent, "by_client", "synth_1ctrl_spot")
    own = path_of("by_client", "synth_1ctrl_spot")
    with archive_server.client() as client:
        until(lambda: settled(client, own))
    async with connected(archive_server) as client:
        router, called = client.archived_bots, set()

        def calls(name):
            called.add(name)
            return getattr(router, name)

        assert {path, own} <= set(await calls("list_databases")())
        assert (await calls("get_database_status")(path))["healthy"]
        assert (await calls("get_database_summary")(path))["total_trades"] == 226
        assert (await calls("get_database_performance")(path))["summary"]["total_trades"] == 226
        assert len((await calls("get_database_trades")(path, limit=7))["trades"]) == 7
        canceled = await calls("get_database_orders")(path, status="OrderCancelled")
        assert {order["last_status"] for order in canceled["orders"]} == {"OrderCancelled"}
        assert (await calls("get_database_executors")(path))["total"] == 42
        assert len((await calls("get_database_positions")(path))["positions"]) == 2
        assert (await calls("get_database_controllers")(path))["total"] == 2
        assert (await calls("delete_archived_bot")(own))["bot_name"] == "by_client"
        assert own not in await router.list_databases()
        assert not (archive_server.data.parent / own).exists()
        assert called == methods(router)
