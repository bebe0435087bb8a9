"""What bots publish, real and broken, and the events that come of it."""

import json
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt.reading import BEGINNING, DEEPEST, LONGEST, answer, read
from domain import catalog
from domain.bots import (
    BotEventTold,
    BotHeard,
    BotLogged,
    BotNotified,
    BotStatusReported,
    BotTalkedNonsense,
    ControllerReported,
)
from tests.bots import captures

NOW = datetime(2026, 11, 22, 7, 4, tzinfo=UTC)
BOT = "ui-bot_1-20261122-070417"


def one(kind, payload):
    [(instance, event)] = read(f"hbot/{BOT}/{kind}", payload, NOW)
    assert instance == BOT
    assert catalog.decode(catalog.type_of(event), 1, catalog.encode(event)) is not None
    return event


@pytest.mark.parametrize("name", captures.NAMES)
def test_every_message_of_a_real_bot_is_understood(name):
    told = Counter(type(event) for _, event in captures.events(name))
    sent = Counter(message.topic.split("/", 2)[2] for message in captures.messages(name))
    assert told[BotTalkedNonsense] == 0
    assert told[BotHeard] == sent["hb"]
    assert told[BotLogged] == sent["log"]
    assert told[BotStatusReported] == sent["status_updates"]
    assert told[BotEventTold] == sent["events"]
    assert told[ControllerReported] == 2 * sent["performance"]  # Each of them ran two controllers.


def test_figures_stay_the_text_that_the_bot_sent():
    performance = b'{"realized_pnl_quote":-30.87789361664,"volume_traded":28236.814447010440}'
    [(_, event)] = read(f"hbot/{BOT}/performance", b'{"a":{"performance":' + performance + b',"custom_info":{}}}', NOW)
    assert isinstance(event, ControllerReported)
    assert bytes(event.performance) == performance
    assert performance in catalog.encode(event)


def test_a_strategy_that_ended_says_so_with_nothing():
    told = read(f"hbot/{BOT}/performance", b'{"a":{},"b":{}}', NOW)
    nothing = msgspec.Raw(b"{}")
    assert [event for _, event in told] == [
        ControllerReported(instance=BOT, controller=name, performance=nothing, custom_info=nothing, heard_at=NOW)
        for name in ("a", "b")
    ]


def test_a_bot_without_controllers_is_heard():
    assert one("performance", b"{}") == BotHeard(instance=BOT, heard_at=NOW)


def test_a_heartbeat_has_the_bot_s_time():
    sent_at = datetime(2026, 11, 22, 7, 4, 34, 25267, tzinfo=UTC)
    assert one("hb", b'{"ts":1795331074025267}') == BotHeard(instance=BOT, sent_at=sent_at, heard_at=NOW)


@pytest.mark.parametrize("ts", ['"-1"', "-1", "null", "NaN", "-Infinity", "1e300", "0", '"1e300"'])
def test_a_time_that_is_none_is_left_out(ts):
    assert one("hb", f'{{"ts":{ts}}}'.encode()) == BotHeard(instance=BOT, heard_at=NOW)
    assert one("notify", f'{{"seq":0,"timestamp":{ts},"msg":"hi"}}'.encode()) == BotNotified(
        instance=BOT, message="hi", heard_at=NOW
    )


def test_numbers_that_are_not_json_become_null():
    payload = (
        b'{"timestamp":1795331075,"type":"BuyOrderCreated","data":{"price":NaN,"x":[-Infinity,Infinity],"s":"NaN"}}'
    )
    event = one("events", payload)
    assert bytes(event.data) == b'{"price":null,"x":[null,null],"s":"NaN"}'


def test_text_with_names_of_such_numbers_stays():
    payload = json.dumps({"timestamp": 1.5, "msg": 'NaN "Infinity" \\', "level_no": 40, "level_name": "ERROR"}).encode()
    assert one("log", payload.replace(b"1.5", b"NaN")).message == 'NaN "Infinity" \\'


@pytest.mark.parametrize(
    ("escaped", "read_as"),
    [
        (r"a\u0000b", "a\ufffdb"),
        (r"\ud83d\ude00", "😀"),
        (r"\ud83d!", "\ufffd!"),
        (r"\ude00", "\ufffd"),
        (r"\\u0000", r"\u0000"),
    ],
)
def test_text_that_no_view_can_keep_is_replaced(escaped, read_as):
    assert one("log", f'{{"msg":"{escaped}"}}'.encode()).message == read_as
    info = one("performance", f'{{"a":{{"custom_info":{{"x":"{escaped}"}}}}}}'.encode()).custom_info
    assert json.loads(bytes(info)) == {"x": read_as}


@pytest.mark.parametrize(
    ("payload", "message"), [(b'{"msg":5}', "5"), (b'{"msg":null}', "null"), (b'{"msg":{"a":[1]}}', '{"a":[1]}')]
)
def test_a_message_that_is_no_text_is_shown_as_json(payload, message):
    assert one("log", payload).message == message


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("hb", b""),
        ("hb", b"\xff\x00"),
        ("hb", b"[]"),
        ("hb", b'{"ts":"soon"}'),
        ("hb", b'{"ts":1795331074025267'),
        ("log", b'{"msg":"half a li'),
        ("log", b'{"level_no":40}'),
        ("log", b'{"msg":"x","level_no":99999999999}'),
        ("log", b'{"msg":"\xff"}'),
        ("status_updates", b'{"type":"availability"}'),
        ("events", b'{"type":"OrderFilled","data":[]}'),
        ("events", b'{"type":"OrderFilled"}'),
        ("performance", b'{"a":null}'),
        ("performance", b'{"a":{"performance":[]}}'),
        ("performance", b'{"a":{"performance":{"x":1e999}}}'),
        ("performance", b'{"a":{"performance":{"x":"\xff"}}}'),
        ("performance", b'{"' + b"a" * 201 + b'":{}}'),
        ("performance", b'{"a":{"custom_info":' + b'{"a":' * DEEPEST + b"1" + b"}" * DEEPEST + b"}}"),
        ("performance", b"[" * 100_000),
    ],
    ids=lambda given: str(given)[:30],
)
def test_nonsense_is_recorded_as_such(kind, payload):
    event = one(kind, payload)
    assert isinstance(event, BotTalkedNonsense)
    assert event.topic == f"hbot/{BOT}/{kind}"
    assert event.length == len(payload)
    assert event.reason
    assert len(event.beginning) <= BEGINNING


def test_as_deep_as_may_be_is_read():
    deep = b'{"a":' * (DEEPEST - 2) + b'"}{][\\""' + b"}" * (DEEPEST - 2)
    assert bytes(one("performance", b'{"a":{"custom_info":' + deep + b"}}").custom_info) == deep


def test_what_is_huge_is_recorded_by_its_beginning():
    event = one("log", b'{"msg":"' + "é".encode() * LONGEST + b'"}')
    assert isinstance(event, BotTalkedNonsense)
    assert event.beginning == '{"msg":"' + "é" * (BEGINNING - 8)
    assert "1,000,000" in event.reason
    long = one("log", b'{"msg":"' + b"x" * (LONGEST - 10) + b'"}')
    assert len(long.message) == LONGEST - 10


def test_a_string_without_an_end_costs_no_more_than_its_length():
    assert isinstance(one("log", b'{"msg":NaN,"x":"' + rb"\"" * 400_000), BotTalkedNonsense)


@pytest.mark.parametrize(
    "topic",
    [
        "hbot",
        "hbot/",
        "hbot/x",
        "hbot/x/stop",
        "hbot/x/hb/more",
        "hbot//hb",
        "hbot/../hb",
        "hbot/a b/hb",
        "hbot/a.b/hb",
        "hbot/näme/hb",
        f"hbot/{'n' * 129}/hb",
        "other/x/hb",
        "hummingbot-api/response/1",
    ],
)
def test_a_topic_that_is_no_bot_s_tells_nothing(topic):
    assert read(topic, b'{"ts":1795331074025267}', NOW) == []


def test_answers_of_real_bots_are_read():
    answered = [c["response"] for c in captures.conversations("headless_running") if c["response"] is not None]
    assert answered
    for response in answered:
        assert answer(json.dumps(response).encode()) == response
    assert answer(b'{"header":{},"data":{"price":NaN}}') == {"header": {}, "data": {"price": None}}


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"data":', b"\xff"])
def test_an_answer_that_is_none_is_said(payload):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        answer(payload)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(st.sampled_from(["hb", "status_updates", "log", "notify", "events", "performance"]), st.binary() | _JSON)
def test_whatever_comes_leaves_an_event_that_can_be_stored(kind, said):
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    for _, event in read(f"hbot/x/{kind}", payload, NOW):
        stored = catalog.encode(event)
        assert b"\\u0000" not in stored.replace(b"\\\\", b"")
        assert catalog.encode(catalog.decode(catalog.type_of(event), 1, stored)) == stored
        break
    else:
        raise AssertionError("nothing was told")


@settings(deadline=None)
@given(_JSON)
def test_a_controller_s_own_figures_are_read_whatever_they_are(said):
    payload = json.dumps({"a": {"performance": {}, "custom_info": {"x": said}}}).encode()
    [(_, event)] = read("hbot/x/performance", payload, NOW)
    assert isinstance(event, ControllerReported)
    msgspec.json.decode(event.custom_info)
