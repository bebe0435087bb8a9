"""What a bot wrote comes out of the log byte for byte."""

from uuid import uuid4

import msgspec
import pytest

from commands.ports import Log, Write
from domain.bots import BotEventTold, ControllerReported, updates_of
from domain.events import Origin
from tests.projections.fleet import at

WORDS = [
    b"{}",
    b'{ "b" : 1.50,\n\t"a":1E-7, "a": 2 }',
    b'{"text":"\\u0000 \\ud83d\\ude00 \xc3\xa9 \\/ \\"","null":null,"big":123456789012345678901234567890.000}',
    b'[1e999,-0.0,{"deep":[[[]]]}]',
]


@pytest.mark.parametrize("words", WORDS, ids=range(len(WORDS)))
async def test_what_a_bot_wrote_comes_out_as_it_went_in(log: Log, words: bytes):
    told = [
        ControllerReported(
            instance="b", controller="c", performance=msgspec.Raw(words), custom_info=msgspec.Raw(words), heard_at=at(0)
        ),
        BotEventTold(instance="b", kind="OrderFilled", data=msgspec.Raw(words), heard_at=at(0)),
    ]
    origin = Origin(correlation_id=uuid4(), command_id=uuid4(), actor="<bots>")
    await log.append([Write(stream=updates_of("b"), expected_version=0, events=told)], origin)
    for recorded in ((await log.read([updates_of("b")]))[updates_of("b")], await log.page(0, 10)):
        reported, filled = (one.event for one in recorded)
        assert isinstance(reported, ControllerReported)
        assert isinstance(filled, BotEventTold)
        assert {bytes(reported.performance), bytes(reported.custom_info), bytes(filled.data)} == {words}
        assert [reported, filled] == told
