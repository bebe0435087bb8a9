"""What trading has earned, as the routes answer it: by group, over time, trade by trade, lot by lot."""

import csv
import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import polars as pl
import pytest

from adapters import tables
from adapters.http import answers
from adapters.http.requests import Request
from domain.analytics.figures import Fill
from domain.analytics.lots import Method
from domain.errors import Unavailable
from domain.values import Side
from projections import analytics
from projections.analytics import Chosen, Traded
from projections.pool import Pool
from read_api import analytics as routes
from read_api import settle
from read_api.analytics.rows import Lots
from read_api.settle import Reads
from tests.projections.archived import ARCHIVES
from tests.projections.given import AT, filled, placed
from tests.read_api.conftest import Server, pool, server, template

if TYPE_CHECKING:
    from litestar.types import HTTPScope

__all__ = ["pool", "server", "template"]

OWN = [
    placed("o1"),
    filled("o1", "t1", "1", "100"),
    placed("o2", 60, side="SELL"),
    filled("o2", "t2", "0.5", "120"),
]


async def test_our_own_orders_and_archived_bots_are_reckoned_alike(server: Server):
    await server.told([*OWN, *ARCHIVES])
    answer = await server.ask("/analytics/performance?group_by=account,bot")
    rows = {row["account"] or row["bot"]: row for row in answer["data"]}
    own, kept = rows["master_account"], rows["kept"]
    assert (own["trades"], own["realized_pnl"], own["unrealized_pnl"], own["fees"]) == (2, "10", "10", "0.2")
    assert own["net_pnl"] == "19.8"
    # Of the archive: see its own test; the fee of one trade has no known price.
    assert (kept["realized_pnl"], kept["fees"], kept["net_pnl"]) == ("40", "0.4", "39.6")
    assert kept["trades_with_unpriced_fees"] == 1


async def test_the_whole_is_the_sum_of_its_groups_whatever_the_group(server: Server):
    await server.told([*OWN, *ARCHIVES])
    (whole,) = (await server.ask("/analytics/performance"))["data"]
    for group in ("account", "bot", "connector", "pair", "day"):
        rows = (await server.ask(f"/analytics/performance?group_by={group}"))["data"]
        for figure in ("volume", "fees", "realized_pnl", "net_pnl"):
            assert sum(float(row[figure]) for row in rows) == pytest.approx(float(whole[figure])), (group, figure)


async def test_orders_of_controllers_are_known_by_their_executors(server: Server):
    await server.told(ARCHIVES)
    rows = (await server.ask("/analytics/performance?group_by=controller&bot_names=kept"))["data"]
    assert {row["controller"]: row["trades"] for row in rows} == {"pmm": 5}
    assert (await server.ask("/analytics/performance?controller_ids=nobody"))["data"] == []


async def test_methods_differ_in_the_split_and_agree_on_the_sum(server: Server):
    story = [placed("a", amount="9"), filled("a", "t1", "1", "100"), filled("a", "t2", "1", "300")]
    await server.told([*story, placed("b", 60, side="SELL"), filled("b", "t3", "1", "250")])
    found = {}
    for method in ("average", "fifo", "lifo", "hifo"):
        (row,) = (await server.ask(f"/analytics/performance?method={method}"))["data"]
        found[method] = (row["realized_pnl"], row["unrealized_pnl"])
    assert found == {"average": ("50", "50"), "fifo": ("150", "-50"), "lifo": ("-50", "150"), "hifo": ("-50", "150")}


async def test_a_time_counts_what_was_earned_in_it_alone(server: Server):
    await server.told(OWN)
    (first,) = (await server.ask("/analytics/performance?end=2026-03-01T12:00:30Z"))["data"]
    (second,) = (await server.ask("/analytics/performance?start=2026-03-01T12:00:30Z"))["data"]
    (whole,) = (await server.ask("/analytics/performance"))["data"]
    assert float(first["net_pnl"]) + float(second["net_pnl"]) == pytest.approx(float(whole["net_pnl"]))
    trades = (await server.ask("/analytics/trades"))["data"]
    for cut in {trade["at"] for trade in trades}:  # a trade at a boundary is in one of the ranges
        before = (await server.ask(f"/analytics/trades?end={quote(cut)}"))["data"]
        behind = (await server.ask(f"/analytics/trades?start={quote(cut)}"))["data"]
        assert (len(before) + len(behind), {trade["at"] for trade in before} & {cut}) == (len(trades), set())


async def test_equity_ends_where_performance_does(server: Server):
    await server.told([*OWN, *ARCHIVES])
    points = (await server.ask("/analytics/equity?interval=1m"))["data"]
    (whole,) = (await server.ask("/analytics/performance"))["data"]
    assert points[-1]["net_pnl"] == whole["net_pnl"]
    for point in points:
        parts = float(point["realized_pnl"]) + float(point["unrealized_pnl"]) - float(point["fees"])
        assert float(point["net_pnl"]) == pytest.approx(parts)


async def test_trades_tell_what_each_closed_and_come_in_pages(server: Server):
    await server.told(OWN)
    page = await server.ask("/analytics/trades?limit=1&offset=1")
    (row,) = page["data"]
    assert (row["trade_id"], row["position"], row["realized_pnl"], row["entry_price"]) == ("t2", "0.5", "10", "100")
    assert page["pagination"] == {"total": 2, "limit": 1, "offset": 1, "has_more": False}


async def test_lots_are_those_that_are_held_or_those_that_were_sold(server: Server):
    await server.told([*OWN, *ARCHIVES])
    (held,) = (await server.ask("/analytics/lots"))["data"]
    assert (held["asset"], held["amount"], held["cost"], held["opened_by"]) == ("BTC", "0.5", "50.05", "t1")
    (sold,) = (await server.ask("/analytics/lots?which=closed"))["data"]
    assert (sold["amount"], sold["cost"], sold["proceeds"], sold["gain"]) == ("0.5", "50.05", "59.9", "9.85")
    assert (sold["opened_by"], sold["closed_by"]) == ("t1", "t2")


@pytest.mark.parametrize(
    ("fee", "held", "sold"),
    [
        ("0.25", [("1", "100"), ("0.75", "200")], []),
        ("1", [("1", "100")], []),  # nothing came and nothing went
        ("1.25", [("0.75", "75")], [("0.25", "25", "-200", "-225")]),
        ("-0.5", [("1", "100"), ("1.5", "200")], []),
    ],
)
def test_a_fee_in_what_was_bought_is_paid_of_it_and_then_of_what_was_held(
    fee: str, held: list[tuple[str, ...]], sold: list[tuple[str, ...]]
):
    def bought(trade: str, price: int, fee: str) -> Traded:
        fill = Fill(
            market=("account", "me", "paper", "BNB-USDT"),
            trade_id=trade,
            side=Side.BUY,
            amount=Decimal(1),
            price=Decimal(price),
            at=AT,
            fees={"BNB": Decimal(fee)},
        )
        return Traded(
            kind="account",
            owner="me",
            connector="paper",
            trading_pair="BNB-USDT",
            controller=None,
            order_id="o",
            fill=fill,
        )

    told = [bought("t1", 100, "0"), bought("t2", 200, fee)]
    lots, closed = Lots(method=Method.FIFO, closed=False), Lots(method=Method.FIFO, closed=True)
    lots.take(told)
    assert [(row["amount"], row["cost"]) for row in lots.rest()] == [tuple(map(Decimal, one)) for one in held]
    rows = [tuple(row[name] for name in ("amount", "cost", "proceeds", "gain")) for row in closed.take(told)]
    assert rows == [tuple(map(Decimal, one)) for one in sold]


@pytest.mark.parametrize("route", ["performance", "equity", "trades", "lots"])
async def test_the_same_rows_come_as_csv_and_parquet(server: Server, route: str):
    await server.told(OWN)
    shown = (await server.ask(f"/analytics/{route}"))["data"]
    written = await server.client.get(f"/analytics/{route}", headers={"Accept": "text/csv"})
    assert written.headers["content-type"].startswith("text/csv")
    assert len(list(csv.DictReader(io.StringIO(written.text)))) == len(shown)
    filed = await server.client.get(f"/analytics/{route}", headers={"Accept": "application/vnd.apache.parquet"})
    table = pl.read_parquet(io.BytesIO(filed.content))
    assert (table.height, table.columns) == (len(shown), list(shown[0]))


MANY = [placed("many", amount="99"), *(filled("many", f"t{n}", "1", str(100 + n % 7)) for n in range(20))]


@pytest.mark.parametrize("route", ["performance?group_by=day,pair", "equity", "trades", "lots"])
async def test_however_trades_come_from_the_database_the_rows_are_the_same(
    server: Server, route: str, monkeypatch: pytest.MonkeyPatch
):
    await server.told([*OWN, *MANY, *ARCHIVES])
    whole = await server.ask(f"/analytics/{route}")
    for some in (1, 3, 20):
        monkeypatch.setattr(analytics, "AT_ONCE", some)
        assert await server.ask(f"/analytics/{route}") == whole
        lines = await server.client.get(f"/analytics/{route}", headers={"Accept": "application/x-ndjson"})
        assert lines.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in lines.text.splitlines()] == whole["data"]


async def test_a_file_has_all_trades_and_json_a_page(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "_PAGE", 5)
    await server.told(MANY)
    page = await server.ask("/analytics/trades")
    assert (len(page["data"]), page["pagination"]) == (5, {"total": 20, "limit": 5, "offset": 0, "has_more": True})
    for accept in ("text/csv", "application/x-ndjson"):
        for query, lines in (("", 20), ("?limit=7&offset=2", 7), ("?offset=19", 1)):
            answer = await server.client.get(f"/analytics/trades{query}", headers={"Accept": accept})
            assert len(answer.text.splitlines()) == lines + (accept == "text/csv")


async def test_an_answer_that_is_long_comes_in_pieces_as_it_is_made(server: Server, monkeypatch: pytest.MonkeyPatch):
    await server.told(MANY)
    whole = (await server.client.get("/analytics/trades")).content
    monkeypatch.setattr(analytics, "AT_ONCE", 3)
    monkeypatch.setattr(answers, "_SHORT", 500)
    answer = await server.client.get("/analytics/trades")
    assert (answer.content, "content-length" in answer.headers) == (whole, False)
    monkeypatch.setattr(tables, "_ROWS", 4)
    filed = await server.client.get("/analytics/trades", headers={"Accept": "application/vnd.apache.parquet"})
    assert pl.read_parquet(io.BytesIO(filed.content))["trade_id"].to_list() == [f"t{n}" for n in range(20)]


async def test_what_breaks_off_in_the_middle_leaves_a_connection_that_works(
    server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    await server.told(MANY)
    await server.ask("/analytics/lots")  # the views have seen them then
    monkeypatch.setattr(analytics, "AT_ONCE", 3)
    async with pool.connection() as connection:
        for _ in range(3):
            batches = analytics.traded(connection, Chosen())
            assert [told.fill.trade_id for told in await anext(batches)] == ["t0", "t1", "t2"]
            await batches.aclose()
        assert len([told async for some in analytics.traded(connection, Chosen()) for told in some]) == 20


async def test_few_long_answers_are_made_at_a_time(server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settle, "_LONG_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(settle, "_LONG_AT_A_TIME", 1)
    reads = Reads(pool, server.progress, server.committed)
    asked = Request(cast("HTTPScope", {"type": "http", "user": "admin", "headers": []}))
    async with reads.long_connection(asked):
        with pytest.raises(Unavailable, match="1 long answers are being made"):
            async with reads.long_connection(asked):
                pass
    async with reads.long_connection(asked) as connection:
        await connection.execute("select")


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("performance?group_by=colour", 400, "colour"),
        ("performance?start=yesterday", 400, "yesterday"),
        ("performance?start=2026-03-02&end=2026-03-01", 400, "before"),
        ("equity?start=0001-01-01T00:00:00%2B14:00", 400, "0001-01-01"),
        ("lots?end=9999-12-31T23:59:59-14:00", 400, "9999-12-31"),
        ("performance?method=best", 422, "method"),
        ("equity?interval=7m", 422, "interval"),
        ("trades?limit=0", 422, "limit"),
        ("lots?which=lost", 422, "which"),
    ],
)
async def test_what_cannot_be_asked_is_named(server: Server, query: str, status: int, word: str):
    answer = await server.client.get(f"/analytics/{query}")
    assert answer.status_code == status
    assert word in answer.text


async def test_nothing_traded_is_no_row(server: Server):
    for route in ("performance", "equity", "trades", "lots"):
        assert (await server.ask(f"/analytics/{route}"))["data"] == []
    empty = await server.client.get("/analytics/trades", headers={"Accept": "text/csv"})
    assert empty.text == ""


async def test_the_documentation_names_every_parameter_with_its_bounds(server: Server):
    paths = (await server.ask("/openapi.json"))["paths"]
    common = {"account_names", "bot_names", "controller_ids", "connector_names", "trading_pairs", "start", "end"}
    for route, own in (
        ("performance", {"group_by", "method"}),
        ("equity", {"interval", "method"}),
        ("trades", {"method", "limit", "offset"}),
    ):
        named = {one["name"]: one["schema"] for one in paths[f"/analytics/{route}"]["get"]["parameters"]}
        assert named.keys() >= common | own
    assert (named["limit"]["minimum"], named["limit"]["maximum"]) == (1, 200_000)


async def test_positions_of_controllers_keep_apart_and_add_up(server: Server):
    await server.told(ARCHIVES)
    split = (await server.ask("/analytics/performance?group_by=bot,controller"))["data"]
    whole = {row["bot"]: row for row in (await server.ask("/analytics/performance?group_by=bot"))["data"]}
    for bot, row in whole.items():
        parts = [part for part in split if part["bot"] == bot]
        for figure in ("net_pnl", "fees", "volume"):
            assert sum(float(part[figure]) for part in parts) == pytest.approx(float(row[figure]))


async def test_no_cell_of_a_csv_is_a_formula_and_figures_stay_figures(server: Server):
    await server.told([placed("o", side="SELL"), filled("o", "-1+2", "1", "100")])
    written = await server.client.get("/analytics/trades", headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(written.text))
    assert (row["trade_id"], row["position"]) == ("'-1+2", "-1")


async def test_lots_come_as_a_file_for_a_tax_program(server: Server):
    await server.told(OWN)
    written = await server.client.get("/analytics/lots?which=closed", headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(written.text))
    assert (row["asset"], row["cost"], row["proceeds"], row["gain"]) == ("BTC", "50.05", "59.9", "9.85")
    assert row["closed_at"].startswith("2026-03-01T12:")


async def test_a_word_that_no_parameter_has_is_refused_and_not_passed_over(server):
    for query, word in (
        ("/analytics/performance?bot=b1", "bot"),
        ("/analytics/lots?connectors=paper", "connectors"),
        ("/audit/events?types=OrderPlaced", "types"),
        ("/audit/diff?from=1&until=2", "until"),
    ):
        answer = await server.ask(query, status=422)
        [problem] = [problem for problem in answer["detail"] if problem["type"] == "extra_forbidden"]
        assert problem["loc"] == ["query", word]
        assert problem["msg"].startswith("There is no such parameter: they are ")
