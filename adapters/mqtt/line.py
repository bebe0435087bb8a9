"""The connection to the broker: hears all bots, and sends them commands.

MQTT 3.1.1 with aiomqtt. What comes in is read where paho hands it over, without a task or a queue for each message.
"""

import asyncio
import logging
import math
import re
import struct
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Never
from uuid import UUID

import aiomqtt
import msgspec
import structlog
from paho.mqtt import MQTTException

from adapters.mqtt.reading import NAMESPACE, TOPICS, answer, is_name, read
from commands.ports.bots import BotSink, Broker
from domain.errors import NotFound, Unavailable

logger = structlog.get_logger()

# paho and aiomqtt say in lines of their own what they tell us by errors, too.
_unheard = logging.getLogger("nectar.mqtt")
_unheard.setLevel(logging.CRITICAL)

REPLIES = "hummingbot-api/response"
"""Where bots answer, under a name for each call: brokers that limit who may write where allow bots this one."""
LONGEST_ANSWER = 32_000_000
MOST_STRANGERS = 5000
"""How many bots are taken in at most that were not deployed here: anybody can make names up, and each costs streams."""
FORGOTTEN_AFTER = timedelta(days=1)
"""Where there are that many, one that was not heard for so long makes room for one that is."""

_QOS = 1
_REFUSED = 128
_KEEP_ALIVE_SECONDS = 60
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 10.0
_STRAYS_EVERY_SECONDS = 10.0
_UNPRINTABLE = re.compile(r"[^ -~]")


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Hands each message on at once, instead of keeping it."""

    def __init__(self, take: Callable[[aiomqtt.Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._take = take

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self._take(item)


class MqttLine:
    """The port `Line` over a broker; `run` has to run, in the one server that works."""

    def __init__(
        self,
        host: str,
        port: int,
        username: str | None,
        password: str | None,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        sink: BotSink,
    ) -> None:
        """Begin with no connection; what bots tell goes to the sink."""
        self._host = host
        self._port = port
        self._username = username
        self._password = password
        self._clock = clock
        self._new_id = new_id
        self._sink = sink
        self._client_id = f"nectar-{new_id().hex[16:]}"  # 23 characters, which every broker takes.
        self._client: aiomqtt.Client | None = None
        self._why = "This server has not tried yet"
        self._heard: dict[str, datetime] = {}
        self._deployed: frozenset[str] = frozenset()
        self._strangers: dict[str, datetime] = {}  # as heard, the one that was not heard for longest first
        self._told_of_strangers = False
        self._asked: dict[str, asyncio.Future[Mapping[str, object] | None]] = {}
        self._paused = asyncio.Event()
        self._strays = 0
        self._strays_told_at = -math.inf

    def broker(self) -> Broker:
        """Return how things stand. While the log takes nothing in, nobody is heard, and that is no connection."""
        paused = self._paused.is_set()
        return Broker(
            host=self._host,
            port=self._port,
            username=self._username,
            connected=self._client is not None and not paused,
            why="What bots told cannot be recorded at present" if paused else self._why,
            bots=dict(self._heard),
        )

    def expect(self, instances: Collection[str]) -> None:
        """Take these bots for those that were deployed here."""
        deployed = frozenset(instances)
        if deployed != self._deployed:
            self._deployed = deployed
            self._strangers = {name: at for name, at in self._strangers.items() if name not in deployed}
            # Who was put away is neither, and not waited for any more.
            self._heard = {name: at for name, at in self._heard.items() if name in deployed or name in self._strangers}

    async def command(
        self, instance: str, command: str, data: Mapping[str, object], *, timeout_seconds: float
    ) -> Mapping[str, object] | None:
        """Send a command once and return the bot's whole answer; None if none came, or none that can be read.

        A connection that breaks and is made again meanwhile costs no answer that comes later. Raises `Unavailable`
        where nothing was sent, `NotFound` for a name that no bot can have.
        """
        if not is_name(instance):
            raise NotFound(f"Bot '{instance[:80]}' not found")
        client = self._client
        if client is None:
            raise Unavailable(f"The MQTT broker at {self._host}:{self._port} cannot be reached: {self._why}")
        reply_to = f"{REPLIES}/{self._new_id().hex}"
        answered: asyncio.Future[Mapping[str, object] | None] = asyncio.get_running_loop().create_future()
        self._asked[reply_to] = answered
        try:
            async with asyncio.timeout(timeout_seconds):
                await client.publish(
                    f"{NAMESPACE}/{instance}/{command}",
                    self._envelope(reply_to, data),
                    qos=_QOS,
                    timeout=math.inf,  # The broker's receipt counts for nothing: the bot's answer does.
                )
                return await answered
        except TimeoutError:
            return None
        except aiomqtt.MqttCodeError as gone:
            raise Unavailable(f"The MQTT broker at {self._host}:{self._port} cannot be reached: {gone}") from gone
        finally:
            del self._asked[reply_to]

    def _envelope(self, reply_to: str, data: Mapping[str, object]) -> bytes:
        at = int(self._clock().timestamp() * 1000)
        header = {
            "timestamp": at,
            "reply_to": reply_to,
            "msg_id": at,
            "node_id": "nectar",
            "agent": "nectar",
            "properties": {},
        }
        return msgspec.json.encode({"header": header, "data": data})

    async def run(self) -> None:
        """Be connected for as long as there is a broker, and try again for as long as there is none."""
        wait = _FIRST_WAIT_SECONDS
        while True:
            await self._sink.room()
            self._paused.clear()
            why = await self._ended()
            if self._client is not None:
                wait = _FIRST_WAIT_SECONDS
            if self._client is not None or why != self._why:
                logger.warning("broker_lost", host=self._host, port=self._port, why=why)
            self._client, self._why = None, why
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def _ended(self) -> str:
        """Connect, and return why the connection ended, or why there was none."""
        try:
            await self._connected()
        except (aiomqtt.MqttError, UnicodeError) as gone:  # UnicodeError: a host whose name none can have.
            why = str(gone) if self._client is None else "The connection was lost"
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # A broker that does not take our farewell has hidden that we were to end.
        return why

    async def _connected(self) -> Never:
        """Connect, subscribe, and take in what comes until the connection ends. Raises `MqttError`."""
        async with aiomqtt.Client(
            self._host,
            self._port,
            username=self._username,
            password=self._password,
            identifier=self._client_id,
            keepalive=_KEEP_ALIVE_SECONDS,
            logger=_unheard,
            queue_type=partial(_Inbox, self._take),  # type: ignore[arg-type] # it is called as the class would be
        ) as client:
            granted = await client.subscribe([(topic, _QOS) for topic in (f"{REPLIES}/+", *TOPICS)])
            if any(code >= _REFUSED if isinstance(code, int) else code.is_failure for code in granted):
                raise aiomqtt.MqttError("It does not let us subscribe to what bots publish")
            self._client = client
            self._why = ""
            logger.info("broker_connected", host=self._host, port=self._port)
            tasks = [asyncio.create_task(self._keep_reading(client)), asyncio.create_task(_until_gone(client))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()
        raise aiomqtt.MqttError("Disconnected")

    async def _keep_reading(self, client: aiomqtt.Client) -> None:
        """Go on with reading whenever it was paused and there is room again."""
        paho = client._client  # noqa: SLF001 - aiomqtt itself can only drop what it has no room for
        while True:
            await self._paused.wait()
            socket = paho.socket()
            if socket is None:
                return
            asyncio.get_running_loop().remove_reader(socket)
            logger.warning("bots_not_read", why="what they told cannot be recorded at present")
            await self._sink.room()
            self._paused.clear()
            logger.info("bots_read_again")
            if paho.socket() is not socket:
                return
            asyncio.get_running_loop().add_reader(socket, _read_on, paho)

    def _take(self, message: aiomqtt.Message) -> None:
        topic, payload = message.topic.value, message.payload
        if not isinstance(payload, bytes):
            raise TypeError(f"A message that was received is {type(payload).__name__}")
        if topic.startswith(REPLIES):
            self._answer(topic, payload)
            return
        now = self._clock()
        # No bot has its messages retained: such a one was sent by who knows whom, who knows when.
        told = [] if message.retain else read(topic, payload, now)
        if not told or not self._is_taken_in(told[0][0], now):
            self._stray(topic)
            return
        instance = told[0][0]
        self._heard[instance] = now
        self._sink(instance, [event for _, event in told], len(payload))
        if self._sink.full:
            self._paused.set()

    def _is_taken_in(self, instance: str, now: datetime) -> bool:
        """Whether a bot was deployed here, or is a stranger that there is room for."""
        if instance in self._deployed:
            return True
        if self._strangers.pop(instance, None) is None and len(self._strangers) >= MOST_STRANGERS:
            longest_silent = next(iter(self._strangers))
            if now - self._strangers[longest_silent] < FORGOTTEN_AFTER:
                self._tell_of_strangers(instance)
                return False
            del self._strangers[longest_silent], self._heard[longest_silent]
        self._strangers[instance] = now
        return True

    def _tell_of_strangers(self, instance: str) -> None:
        if not self._told_of_strangers:
            self._told_of_strangers = True
            logger.warning("too_many_unknown_bots", taken_in=MOST_STRANGERS, not_taken_in=instance)

    def _answer(self, topic: str, payload: bytes) -> None:
        answered = self._asked.get(topic)
        if answered is None or answered.done():
            logger.debug("answer_for_nobody", topic=topic[:200], bytes=len(payload))
            return
        try:
            if len(payload) > LONGEST_ANSWER:
                raise msgspec.DecodeError(f"It has {len(payload):,} bytes; at most {LONGEST_ANSWER:,} are read")
            answered.set_result(answer(payload))
        except (msgspec.MsgspecError, UnicodeDecodeError) as why:
            logger.warning("answer_not_understood", topic=topic, why=str(why))
            answered.set_result(None)

    def _stray(self, topic: str) -> None:
        """Count a message that is no bot's, and say so now and then."""
        self._strays += 1
        now = asyncio.get_running_loop().time()
        if now - self._strays_told_at >= _STRAYS_EVERY_SECONDS:
            topic = _UNPRINTABLE.sub("?", topic[:200])
            logger.warning("messages_of_no_bot", messages=self._strays, newest_topic=topic)
            self._strays = 0
            self._strays_told_at = now


def _read_on(paho: Any) -> None:  # noqa: ANN401 - paho's client, which is aiomqtt's own affair
    """Read what has come, as aiomqtt does; a connection on which something comes that is no MQTT is ended."""
    try:
        paho.loop_read()
    except (ValueError, struct.error, MQTTException) as why:
        logger.warning("broker_not_understood", why=str(why))
        paho.disconnect()


async def _until_gone(client: aiomqtt.Client) -> None:
    async for _ in client.messages:  # Nothing is ever kept there; it raises when the connection ends.
        raise AssertionError("a message was kept")
