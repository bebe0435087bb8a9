"""Notice which bots fall silent and which are heard again."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from commands.abreast import abreast
from commands.bus import Bus, Call, Command, Handlers, Outcome, origin_of_process
from commands.deciding import decide
from commands.folding import load_all
from commands.ports import Ports
from commands.ports.bots import Fleet
from domain.bots import NEW, Bot, evolve, hearing, stream_of
from domain.events import Event

AT_ONCE = 64
"""How many bots are recorded at once: a broker that was away gives a whole fleet back in a moment."""


class LoseBot(Command, frozen=True, kw_only=True):
    """Record that a bot is silent, if it should not be; `silent_since` counts, `last_heard_at` is shown."""

    instance: str
    last_heard_at: datetime
    silent_since: datetime
    patience: timedelta


class HearBot(Command, frozen=True, kw_only=True):
    """Record that a bot is there, if it was lost or is new."""

    instance: str


async def lose(command: LoseBot, call: Call) -> Outcome:
    """Record the loss, unless it is known or nothing to wonder at."""
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=stream_of(command.instance),
        new=NEW,
        evolve=evolve,
        decision=lambda bot: _loss(command, bot, call.ports.clock()),
    )
    return Outcome(result=None, position=decided.position)


def _loss(command: LoseBot, bot: Bot, at: datetime) -> list[Event]:
    return hearing.lose(
        bot,
        instance=command.instance,
        last_heard_at=command.last_heard_at,
        silent_since=command.silent_since,
        patience=command.patience,
        at=at,
    )


async def hear(command: HearBot, call: Call) -> Outcome:
    """Record the return, unless the bot was there all the time."""
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=stream_of(command.instance),
        new=NEW,
        evolve=evolve,
        decision=lambda bot: hearing.hear(bot, instance=command.instance, at=call.ports.clock()),
    )
    return Outcome(result=None, position=decided.position)


HANDLERS: Handlers = {LoseBot: (lose, None), HearBot: (hear, None)}


class BotWatch:
    """Compares who is heard with who should be. Its memory saves questions; losing it costs time."""

    def __init__(self, bus: Bus, fleet: Fleet) -> None:
        """Watch over the bots of a fleet."""
        self._bus = bus
        self._ports: Ports = bus.ports
        self._fleet = fleet
        self._listening_since: datetime | None = None
        self._present: set[str] = set()
        self._settled: dict[str, int] = {}  # silent bot → version of its stream at which its silence was decided on

    async def look(self) -> None:
        """Record who fell silent and who came back. While the broker is away nobody is missed: nobody can be heard."""
        broker = self._fleet.line.broker()
        now = self._ports.clock()
        if not broker.connected:
            self._listening_since = None
            return
        if self._listening_since is None:
            self._listening_since = now
        patience = timedelta(seconds=self._fleet.heartbeat_seconds)
        heard = {name for name, heard_at in broker.bots.items() if now - heard_at < patience}
        await abreast(AT_ONCE, [partial(self._hear, name) for name in sorted(heard - self._present)])
        self._present &= heard
        deployed = await self._ports.lookup.instances()
        self._fleet.line.expect(deployed)
        if now - self._listening_since >= patience:
            silent = sorted({*broker.bots, *deployed} - heard)
            await self._miss(silent, broker.bots, self._listening_since, now)

    async def _miss(
        self, silent: Sequence[str], heard_at: Mapping[str, datetime], listening_since: datetime, now: datetime
    ) -> None:
        """Record which of the silent ones should not be; archived ones are silent for ever, and nobody is told so."""
        patience = timedelta(seconds=self._fleet.heartbeat_seconds)
        self._settled = {name: self._settled[name] for name in silent if name in self._settled}
        ends = await self._ports.log.last([stream_of(name) for name in silent])
        overdue = {}
        for name in silent:
            end = ends[stream_of(name)]
            if end is None or self._settled.get(name) == end.version:
                continue
            since = max(listening_since, end.recorded_at, heard_at.get(name, listening_since))
            if now - since >= patience:
                last_heard_at = heard_at.get(name, since)
                overdue[name] = LoseBot(
                    instance=name, last_heard_at=last_heard_at, silent_since=since, patience=patience
                )
        lives = await load_all(self._ports.log, [stream_of(name) for name in overdue], NEW, evolve)
        losses = []
        for name, command in overdue.items():
            life = lives[stream_of(name)]
            if _loss(command, life.state, now):
                losses.append(partial(self._lose, command, life.version))
            else:
                self._settled[name] = life.version
        await abreast(AT_ONCE, losses)

    async def _hear(self, instance: str) -> None:
        await self._bus.dispatch(HearBot(instance=instance), origin_of_process("bots", self._ports.new_id))
        self._present.add(instance)
        self._settled.pop(instance, None)

    async def _lose(self, command: LoseBot, version: int) -> None:
        await self._bus.dispatch(command, origin_of_process("bots", self._ports.new_id))
        self._settled[command.instance] = version
