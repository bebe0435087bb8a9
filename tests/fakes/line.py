"""The line to the bots, without a broker: bots that answer as real headless ones do, or as a test says."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from commands.ports.bots import Broker
from domain.errors import NotFound, Unavailable

Answer = Mapping[str, object] | Callable[[Mapping[str, object]], Mapping[str, object] | None] | None
"""The `data` of an answer, or what makes it of the `data` of the command; None for silence."""

NO_STRATEGY = "'HummingbotApplication' object has no attribute 'strategy'"


def _config(data: Mapping[str, Any]) -> Mapping[str, object]:
    keys = [key for key, _ in data.get("params", ())]
    why = f"Invalid param key(s): {keys}" if keys else "'NoneType' object has no attribute 'clear_input'"
    return {"changes": [], "config": {}, "status": 400, "msg": why}


USUAL: Mapping[str, Answer] = {
    "stop": {"status": 200, "msg": ""},
    "start": {"status": 400, "msg": NO_STRATEGY},
    "status": {"status": 400, "msg": NO_STRATEGY, "data": ""},
    "history": {"status": 200, "msg": "", "trades": []},
    "config": _config,
    "import": {"status": 400, "msg": "'NoneType' object has no attribute 'clear_input'"},
    "balance/limit": {"status": 200, "msg": "", "data": None},
    "balance/paper": {"status": 200, "msg": "", "data": None},
}


class ScriptedLine:
    """The port `Line`. `answers` to (instance, command) come before the usual ones; only bots that `appear` answer.

    A bot that does not answer is silent at once: no test waits. `sent` holds what was sent, in order.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.connected = True
        self.bots: dict[str, datetime] = {}
        self.expected: frozenset[str] = frozenset()
        self.answers: dict[tuple[str, str], Answer] = {}
        self.sent: list[tuple[str, str, Mapping[str, object]]] = []

    def appear(self, *instances: str) -> None:
        """Have bots heard now."""
        for instance in instances:
            self.bots[instance] = self._clock()

    def disappear(self, instance: str) -> None:
        """Have a bot never heard."""
        del self.bots[instance]

    async def command(
        self, instance: str, command: str, data: Mapping[str, object], *, timeout_seconds: float
    ) -> Mapping[str, object] | None:
        """Send a command and return the whole answer."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", instance):
            raise NotFound(f"Bot '{instance}' not found")
        if not self.connected:
            raise Unavailable("The MQTT broker at localhost:1883 cannot be reached: it was made so")
        self.sent.append((instance, command, data))
        answer: Answer = None
        if instance in self.bots:
            answer = self.answers.get((instance, command), USUAL.get(command))
        said: Any = answer(data) if callable(answer) else answer
        if said is None:
            return None
        header = {
            "reply_to": "",
            "timestamp": int(self._clock().timestamp() * 1000),
            "content_type": "json",
            "encoding": "utf8",
            "agent": "commlib",
        }
        return {"header": header, "data": said}

    def expect(self, instances: Collection[str]) -> None:
        """Note which bots were deployed."""
        self.expected = frozenset(instances)

    def broker(self) -> Broker:
        """Return how things stand."""
        return Broker(
            host="localhost",
            port=1883,
            username=None,
            connected=self.connected,
            why="" if self.connected else "it was made so",
            bots=dict(self.bots),
        )
