"""Bots over `/ws/executors`, as clients see them: the recorded conversation with a bot that talks."""

import aiohttp
import pytest

from tests.bots.running import bot
from tests.broker import HOST, NEEDS_MOSQUITTO, mosquitto
from tests.contract.comparing import differences
from tests.contract.serving import CREDENTIALS
from tests.contract.test_sockets import heard_of, recorded

pytestmark = NEEDS_MOSQUITTO

NAME = "headlessbot-20261122-063121"
"""The bot of the recording; ours has its name and its controllers."""
KINDS = {"all_bots_status", "bot_status"}


@pytest.fixture
def talking(servers, tmp_path):
    """A server that has heard a bot."""
    with mosquitto() as broker:
        server = servers("ours", BROKER_HOST=HOST, BROKER_PORT=str(broker.port))
        with bot(tmp_path / "bot", NAME, broker.port):
            yield server


async def test_bots_are_told_as_recorded(talking):
    address = f"{talking.url}/ws/executors"
    async with (
        aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth(*CREDENTIALS)}) as session,
        session.ws_connect(address) as socket,
    ):
        steps = recorded("executors_ws__live_bots")
        for step in steps:
            if "send" in step:
                await socket.send_json(step["send"])
        await running(socket)
        expected = [step["recv"] for step in steps if step.get("recv", {}).get("type") in KINDS]
        assert {one["type"] for one in expected} == KINDS
        others: list[dict[str, object]] = []
        for one in expected:
            heard = await heard_of(socket, one["type"], one["subscription_id"], others)
            assert list(differences(without_words(one), heard)) == []
            standing = heard["data"].get(NAME, heard["data"])
            assert standing["performance"].keys() == one["data"].get(NAME, one["data"])["performance"].keys()
            assert (standing["status"], standing["recently_active"]) == ("running", True)


def without_words(message):
    """Return a message without the reasons that executors of the recorded bot ended for: they are its own."""
    for controller in message["data"].get(NAME, message["data"])["performance"].values():
        controller["performance"]["close_type_counts"] = {}
    return message


async def running(socket):
    """Wait until both subscriptions tell of a bot that runs."""
    waiting = {"all_bots_status", f"bot_status_{NAME}"}
    while waiting:
        message = await socket.receive_json(timeout=20)
        data = message.get("data", {})
        if data.get(NAME, data).get("status") == "running":
            waiting.discard(message["subscription_id"])
