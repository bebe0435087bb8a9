"""Every recorded answer about archives, and the request to ours that has to answer alike.

Where the reference fails on a database that can be read, ours answers: 200. Where it fails on one that cannot, ours
says why: 400.
"""

from tests.archives import path_of
from tests.contract.cases import Case, get

OF_SAMPLE = {
    "corrupt": path_of("corrupt"),
    "empty_schema": path_of("empty_schema"),
    "old_no_position_table": path_of("old_no_position_table"),
    "real_run": path_of("real_run", "real_run_headless_2ctrl"),
    "synth_1ctrl_spot": path_of("synth_1ctrl_spot"),
    "synth_2ctrl_40exec": path_of("synth_2ctrl_40exec"),
}
"""Name in a recording → path of the database."""
_PAGED = {"orders", "positions", "trades"}
# A position mode, a close type and a controller's own id can be null where the first recorded item has one.
_NULLABLE = {
    "orders": ("$.orders[].exchange_order_id", "$.orders[].position"),
    "trades": ("$.trades[].position", "$.trades[].trade_fee", "$.trades[].trade_fee_in_quote"),
    "executors": ("$.executors[].close_type", "$.executors[].close_timestamp", "$.executors[].controller_id"),
    "controllers": ("$.controllers[].id",),
    "performance": ("$.performance_data[].fees_quote",),
}
_OF_2CTRL = f"/archived-bots/{OF_SAMPLE['synth_2ctrl_40exec']}"
_FAILED = {
    ("performance", "empty_schema"),
    ("performance", "real_run"),
    ("performance", "synth_1ctrl_spot"),
    ("positions", "old_no_position_table"),
    ("summary", "empty_schema"),
    ("summary", "old_no_position_table"),
    ("trades", "empty_schema"),
}


def _case(word: str, sample: str) -> Case:
    page = "?limit=100&offset=0" if word in _PAGED else ""
    unreadable = sample == "corrupt" and word != "status"
    status = 400 if unreadable else 200 if (word, sample) in _FAILED else None
    return get(
        f"/archived-bots/{OF_SAMPLE[sample]}/{word}{page}",
        status=status,
        nullable=_NULLABLE.get(word, ()),
        words="file is not a database" if unreadable else "",
    )


CASES = {
    "archived_bots/delete_archived_bot": Case(method="DELETE", path="/archived-bots/" + path_of("to_delete")),
    "archived_bots/delete_archived_bot__unknown": Case(method="DELETE", path="/archived-bots/" + path_of("x")),
    **{
        f"archived_bots/get_database_{word}__{sample}": _case(word, sample)
        for word in ("controllers", "executors", "orders", "performance", "positions", "status", "summary", "trades")
        for sample in OF_SAMPLE
    },
    "archived_bots/get_database_orders__synth_2ctrl_40exec_cancelled": get(
        f"{_OF_2CTRL}/orders?limit=5&offset=0&status=OrderCancelled", nullable=_NULLABLE["orders"]
    ),
    "archived_bots/get_database_orders__synth_2ctrl_40exec_nostatus": get(
        f"{_OF_2CTRL}/orders?limit=5&offset=0&status=nope"
    ),
    "archived_bots/get_database_trades__synth_2ctrl_40exec_page": get(
        f"{_OF_2CTRL}/trades?limit=5&offset=3", nullable=_NULLABLE["trades"]
    ),
    "archived_bots/get_database_status__outside": get(
        "/archived-bots/bots/credentials/master_account/conf_client.yml/status", words="outside the archived bots"
    ),
    "archived_bots/get_database_status__unknown": get(f"/archived-bots/{path_of('x')}/status", words="not found"),
    **{
        f"archived_bots/list_databases__{name}": get("/archived-bots/")
        for name in ("after_delete", "empty", "full", "live")
    },
    "archived_bots/status__abs_path": get("/archived-bots//etc/passwd/status", words="'/etc/passwd' is outside"),
}
