from urllib.parse import quote

from domain.archives import ArchiveUnreadable, stream_of
from tests.projections.given import AT, EVERYTHING, STORY, account, placed, rejected

PATH = "bots/archived/b/data/b.sqlite"

ENVELOPE = {"position", "stream", "version", "type", "recorded_at", "actor"}
KEYS = ENVELOPE | {"command_id", "correlation_id", "causation_id", "data"}


async def positions(server, query: str) -> list[int]:
    return [event["position"] for event in (await server.ask(f"/audit/events?{query}"))["data"]]


async def test_every_event_is_found_page_by_page_newest_first(server):
    end = await server.told(EVERYTHING)
    found, cursor = [], ""
    while True:
        answer = await server.ask(f"/audit/events?limit=9&cursor={cursor}")
        assert answer["pagination"]["total_count"] == end
        found += answer["data"]
        cursor = answer["pagination"]["next_cursor"]
        if cursor is None:
            break
    assert [event["position"] for event in found] == list(range(end, 0, -1))
    assert all(set(event) == KEYS for event in found)
    assert found[-1]["data"] == {"account": "master_account"}
    assert found[-1]["type"] == "AccountAdded"


async def test_events_are_found_by_what_they_are_and_who_did_them(server):
    end = await server.told(EVERYTHING)
    whole = (await server.ask("/audit/events?limit=1000"))["data"]
    placements = [e["position"] for e in whole if e["type"] == "OrderPlaced"]
    assert await positions(server, "type=OrderPlaced") == placements
    assert await positions(server, f"type=OrderPlaced&to_position={placements[2]}&limit=1000") == placements[2:]
    assert await positions(server, f"after_position={end - 2}") == [end, end - 1]
    assert await positions(server, "actor=admin") == [e["position"] for e in whole if e["actor"] == "admin"]
    assert await positions(server, "stream=order-b") == [e["position"] for e in whole if e["stream"] == "order-b"]
    assert await positions(server, f"correlation_id={STORY}&limit=1000") == list(range(end, 0, -1))
    assert await positions(server, "actor=nobody") == []
    middle = await server.log.page(end // 2, 1)
    milliseconds = int(middle[0].recorded_at.timestamp() * 1000)
    since = await positions(server, f"start_time={milliseconds}&limit=1000")
    until = await positions(server, f"end_time={milliseconds}&limit=1000")
    assert sorted(since + until) == list(range(1, end + 1))
    assert await positions(server, "start_time=253402300799999") == []
    assert await positions(server, "end_time=1000") == []


async def test_a_stream_is_read_as_it_was_at_a_position_or_time(server):
    end = await server.told([*account(), placed("a"), rejected("a")])
    answer = await server.ask("/audit/streams/order-a")
    assert [event["type"] for event in answer["data"]] == ["OrderPlaced", "OrderRejected"]
    assert answer["pagination"]["total_count"] == 2
    first = await server.ask("/audit/streams/order-a?limit=1")
    second = await server.ask(f"/audit/streams/order-a?limit=1&cursor={first['pagination']['next_cursor']}")
    assert [*first["data"], *second["data"]] == answer["data"]
    for at in (end - 1, answer["data"][0]["recorded_at"]):
        then = await server.ask(f"/audit/streams/order-a?at={at}")
        assert [event["type"] for event in then["data"]] == ["OrderPlaced"]
        assert then["pagination"]["total_count"] == 1
    assert (await server.ask("/audit/streams/order-a?at=1"))["data"] == []
    assert await server.ask("/audit/streams/nothing", status=404) == {"detail": "Stream 'nothing' not found"}


async def test_a_stream_whose_name_has_slashes_is_read_by_it(server):
    found = ArchiveUnreadable(path=PATH, bot="b", sha256="0", size=0, reason="no database", found_at=AT)
    await server.told([(stream_of(PATH), found)])
    [told] = (await server.ask(f"/audit/streams/{stream_of(PATH)}"))["data"]
    assert (told["stream"], told["type"]) == (f"archive-{PATH}", "ArchiveUnreadable")
    assert (await server.ask(f"/audit/streams/{quote(stream_of(PATH), safe='')}"))["data"] == [told]


async def test_only_all_events_are_counted(server):
    end = await server.told(EVERYTHING)
    assert (await server.ask("/audit/events"))["pagination"]["total_count"] == end
    for query in ("to_position=0", "type=", "actor=", "after_position=0"):
        assert (await server.ask(f"/audit/events?{query}"))["pagination"]["total_count"] is None, query


async def test_a_story_is_read_across_streams(server):
    await server.told([*account(), placed("a"), rejected("a")])
    answer = await server.ask(f"/audit/chain/{STORY}")
    assert [event["type"] for event in answer["data"]] == ["AccountAdded", "OrderPlaced", "OrderRejected"]
    assert (await server.ask("/audit/chain/00000000-0000-0000-0000-000000000001"))["data"] == []


async def test_a_wrong_question_is_refused_by_name(server):
    for query, place in (
        ("events?limit=0", "limit"),
        ("events?cursor=-1", "cursor"),
        ("events?start_time=never", "start_time"),
        ("events?correlation_id=1", "correlation_id"),
        ("streams/x?at=noon", "at"),
        ("streams/x?at=2026-01-01T00:00:00", "at"),
    ):
        answer = await server.ask(f"/audit/{query}", status=422)
        assert answer["detail"][0]["loc"] == ["query", place]
