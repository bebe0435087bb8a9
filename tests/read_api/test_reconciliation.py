from tests.projections.given import EVERYTHING, STORY, difference, reconciled


async def test_comparisons_are_read_with_their_differences_newest_first(server):
    end = await server.told([reconciled(0), difference("BTC"), difference("ETH"), reconciled(2)])
    answer = await server.ask("/audit/reconciliation")
    newest, oldest = answer["data"]
    assert answer["pagination"] == {"limit": 100, "has_more": False, "next_cursor": None, "total_count": None}
    assert (oldest["position"], oldest["difference_count"], oldest["differences"]) == (end - 3, 0, [])
    found = newest.pop("differences")
    assert newest == {
        "position": end,
        "stream": "reconciliation-master_account-paper",
        "version": 4,
        "correlation_id": str(STORY),
        "command_id": f"00000000-0000-0000-0000-{end:012x}",
        "account_name": "master_account",
        "connector_name": "paper",
        "trigger": "schedule",
        "began_at": "2026-03-01T12:00:29Z",
        "finished_at": "2026-03-01T12:00:30Z",
        "compared": {"orders": 1, "trades": 2, "tokens": 3, "positions": 4},
        "difference_count": 2,
    }
    assert [(d["position"], d["version"], d["subject"]) for d in found] == [(end - 2, 2, "BTC"), (end - 1, 3, "ETH")]
    assert found[0] == {
        "position": end - 2,
        "version": 2,
        "correlation_id": str(STORY),
        "kind": "balance",
        "subject": "BTC",
        "ours": {"units": "1", "available": "1"},
        "venue": {"units": "2", "available": "2"},
    }


async def test_comparisons_are_read_page_by_page_and_by_account_and_connector(server):
    await server.told([*EVERYTHING, *[reconciled(0) for _ in range(5)]])
    whole = (await server.ask("/audit/reconciliation"))["data"]
    found, cursor = [], ""
    while True:
        answer = await server.ask(f"/audit/reconciliation?limit=3&cursor={cursor}")
        found += answer["data"]
        cursor = answer["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert found == whole
    assert len(whole) == 8
    (second,) = (await server.ask("/audit/reconciliation?account_name=second"))["data"]
    assert second["connector_name"] == "paper_perpetual"
    assert len((await server.ask("/audit/reconciliation?connector_name=paper"))["data"]) == 7
    assert (await server.ask("/audit/reconciliation?account_name=nobody"))["data"] == []


async def test_a_wrong_question_is_refused_by_name(server):
    for query, place in (("limit=0", "limit"), ("cursor=x", "cursor"), (f"account_name={'x' * 65}", "account_name")):
        answer = await server.ask(f"/audit/reconciliation?{query}", status=422)
        assert answer["detail"][0]["loc"] == ["query", place]
