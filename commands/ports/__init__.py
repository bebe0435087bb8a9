"""What commands need of the outside. Adapters fill these; tests fill them with fakes that pass the same suites."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from commands.ports.archives import Archives
from commands.ports.bots import Fleet
from commands.ports.snapshots import Snapshots
from commands.ports.strategies import Yaml
from domain.accounts import Account
from domain.connectors import ConfigField, TradingRule
from domain.events import Event, Origin, Recorded
from domain.orders import OrderObserved, OrderPlaced
from domain.portfolio import Balance
from domain.positions import PositionObserved
from domain.reports import AccountReport
from domain.values import OrderType, PositionMode

Clock = Callable[[], datetime]
"""Returns the time now, aware, in UTC."""

NewId = Callable[[], UUID]


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Events to append to one stream that is expected to be at `expected_version` (0: it does not exist yet).

    `correlation_id` and `causation_id`, where given, take the place of the origin's in the envelopes of these events: a
    report of a venue carries facts of several stories. `stories`, where given, has a correlation id for each event, or
    None for one that has no other than the rest.
    """

    stream: str
    expected_version: int
    events: Sequence[Event]
    correlation_id: UUID | None = None
    causation_id: UUID | None = None
    stories: Sequence[UUID | None] = ()


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """What an append did. `position` is that of its last event (of the log's last one when it had none).

    `repeated` is True when the idempotency key was seen before: nothing was appended, and `answer` is the first one's.
    """

    position: int
    repeated: bool = False
    answer: bytes | None = None


class Log(Snapshots, Protocol):
    """The event log, with snapshots of its long streams."""

    async def append(
        self, writes: Sequence[Write], origin: Origin, *, answer: bytes | None = None, request: bytes = b""
    ) -> Appended:
        """Append to one or more streams, all or nothing, durably.

        `answer` is kept with the origin's idempotency key, `request` is the fingerprint of what was asked. Raises
        `StreamMoved` when a stream is not at its expected version, `Conflict` when the key was used for another
        request, `Unavailable` when the log cannot be reached (nothing is known to be appended).
        """
        ...

    async def answered(self, origin: Origin, request: bytes) -> Appended | None:
        """Return the first answer under the origin's key, which is the actor's own; None if there is none."""
        ...

    async def forget_keys(self, older_than: datetime) -> int:
        """Forget the idempotency keys that were first used before a time; return how many."""
        ...

    async def read(self, streams: Sequence[str]) -> dict[str, list[Recorded]]:
        """Return the events of each stream in version order; a stream that does not exist has an empty list."""
        ...

    async def last(self, streams: Sequence[str]) -> dict[str, Recorded | None]:
        """Return the last event of each stream, None for one that does not exist."""
        ...

    async def position(self) -> int:
        """Return the position of the log's last event, 0 for an empty log."""
        ...

    async def page(self, after: int, limit: int, types: Sequence[str] = ()) -> list[Recorded]:
        """Return up to `limit` events above position `after`, in position order, of all types or of those named."""
        ...

    async def reach(self, after: int, through: int, types: Sequence[str], most_bytes: int) -> int:
        """Return up to which position events hold at most so many bytes together, and at least one event."""
        ...

    async def between(
        self, after: int, through: int, types: Sequence[str] = (), part: tuple[int, int] = (0, 1)
    ) -> list[Recorded]:
        """Return the events above one position and up to and with another, in position order.

        `part` is a number and how many parts the streams are dealt out to, always the same to each.
        """
        ...

    def follow(self, after: int, *, limit: int = 1000, types: Sequence[str] = ()) -> AsyncIterator[list[Recorded]]:
        """Yield batches of events above position `after`, in order, for ever; waits where the log ends.

        Survives a restart of the log's server: it goes on where it was.
        """
        ...


class Vault(Protocol):
    """Encrypted credentials. The only place where a secret rests."""

    async def store(self, account: str, connector: str, credentials: Mapping[str, object]) -> None:
        """Keep the credentials of an account for a connector, in place of those it had."""
        ...

    async def read(self, account: str, connector: str) -> dict[str, object] | None:
        """Return the credentials, None if there are none."""
        ...

    async def shred(self, account: str, connector: str | None = None, *, stored_before: datetime | None = None) -> None:
        """Delete the credentials for a connector, or all of the account; what is not there is no error.

        With `stored_before` (on the clock of the log), those that were stored later stay.
        """
        ...


RECENTLY = timedelta(minutes=15)
"""How long before the newest fact something may have happened that was not told, though what came later was."""


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that the venue has accepted and that may still trade; an `OrderObserved` was placed by somebody else.

    `filled` in base, `trade_ids` those that are counted in it.
    """

    order: OrderPlaced | OrderObserved
    exchange_order_id: str
    filled: Decimal
    trade_ids: frozenset[str] = frozenset()


class AccountMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What the log knows of an account on a connector, given to the connector when it connects.

    `open_orders` with the oldest first; `ended_orders` traded `RECENTLY` and can trade no more: their trades are known
    when the venue tells them again. Of the `unanswered` ones nobody knows whether the venue has them. `pairs` are all
    that the account ever traded or held a position in there. `last_seen_at` is the venue time of the newest fact.
    """

    account: str
    connector: str
    balances: Sequence[Balance] | None
    open_orders: Sequence[OpenOrder] = ()
    ended_orders: Sequence[OpenOrder] = ()
    unanswered: Sequence[OrderPlaced] = ()
    pairs: Sequence[str] = ()
    positions: Sequence[PositionObserved] = ()
    leverage: Mapping[str, int] = {}
    mode: PositionMode = PositionMode.ONEWAY
    last_seen_at: datetime | None = None


class Lookup(Protocol):
    """What a handler or process must find without knowing a stream. Answers are as new as the views."""

    async def accounts(self) -> Mapping[str, Account]:
        """Return every account that exists."""
        ...

    async def memory(self, account: str, connector: str) -> AccountMemory:
        """Return what the log knows of an account on a connector."""
        ...

    async def unanswered(self, *, placed_before: datetime) -> Sequence[OrderPlaced]:
        """Return the orders that are placed or unknown since before that time, oldest first."""
        ...

    async def cancels_unanswered(self, *, requested_before: datetime) -> Sequence[OrderPlaced]:
        """Return the open orders whose cancel was requested before that time and not answered, oldest first."""
        ...

    async def sources(self) -> Mapping[str, str]:
        """Return path below `bots/` → source of every script and controller (`controllers/generic/x.py`)."""
        ...

    async def instances(self) -> Sequence[str]:
        """Return the instances that were deployed and are not cleared away, oldest first."""
        ...

    async def strategy_ended(self, instance: str, *, since: datetime) -> bool:
        """Whether every controller of a bot has said since then that its strategy ended; False if none ever spoke."""
        ...


class Exchange(Protocol):
    """One connector.

    What happens on the venue, answers to our requests included, is told to the account sink it was made with, as
    `AccountReport`s, in the venue's order.
    """

    name: str
    perpetual: bool
    order_types: Sequence[OrderType]
    settles_within_seconds: float
    """For so long after it was sent, an order that the venue will take may still be unknown to it."""
    reconciles: bool
    """Whether the venue can know what the log does not; one whose only memory is the log cannot."""

    async def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rule of every pair. Raises `Unavailable`."""
        ...

    async def prices(self) -> Mapping[str, Decimal]:
        """Return the last known mid price of every pair that is followed, quote per base. Never asks the venue."""
        ...

    async def verify(self, credentials: Mapping[str, object]) -> None:
        """Ask the venue whether it takes the credentials. Raises `Invalid` in its words, `Unavailable`."""
        ...

    async def connect(self, memory: AccountMemory, credentials: Mapping[str, object]) -> None:
        """Begin to trade for an account, going on from what the log knows, and return when its balances are recorded.

        Raises `Invalid` for wrong credentials, `Unavailable` when the balances are not recorded in time.
        """
        ...

    async def disconnect(self, account: str) -> None:
        """Forget an account; its open orders at the venue stay what they are."""
        ...

    async def place(self, order: OrderPlaced) -> None:
        """Send an order, once. Raises `Unavailable` when it is not known whether the venue took it.

        Raises `Invalid` when nothing left this process and nothing will.
        """
        ...

    async def cancel(self, account: str, client_order_id: str, trading_pair: str) -> None:
        """Ask the venue to cancel. Raises `Unavailable` when it is not known whether the venue heard it."""
        ...

    async def ask(self, order: OrderPlaced) -> bool:
        """Have all that the venue knows of an order told to the sink; False if it positively does not know it.

        Raises `Unavailable` when it does not say.
        """
        ...

    async def report(self, account: str) -> AccountReport:
        """Return balances and positions as the venue has them now, not told to the sink. Raises `Unavailable`."""
        ...

    async def reconcile(self, account: str) -> AccountReport:
        """Return all that the venue knows now and that may differ from what the log knows, not told to the sink.

        Orders, trades, balances, positions, funding; a position that is gone has the amount 0. Raises `Unavailable`.
        """
        ...

    async def set_leverage(self, account: str, trading_pair: str, leverage: int) -> None:
        """Set the leverage. Raises `Invalid` with the venue's words, `Unavailable` when it does not answer."""
        ...

    async def set_mode(self, account: str, mode: PositionMode) -> None:
        """Set the position mode. Raises as `set_leverage`."""
        ...


class Venues(Protocol):
    """The connectors that this server can trade on, and which account is connected to which."""

    def admit(self, account: str, connectors: Iterable[str] = ()) -> None:
        """Know an account from now on, connected to nothing yet; one that is known stays as it is.

        What it has credentials for, `connectors`, is unavailable until it is connected.
        """
        ...

    def accounts(self) -> Mapping[str, frozenset[str]]:
        """Return account → connectors that are connected now, of every account that is known."""
        ...

    def connectors(self) -> Sequence[str]:
        """Return the names of all connectors that can be traded on, those on paper on a real market left out."""
        ...

    def exchange(self, connector: str) -> Exchange:
        """Return a connector. Raises `NotFound`."""
        ...

    def connected(self, account: str, connector: str) -> Exchange:
        """Return a connector for trading with an account.

        Raises `NotFound` (no such account or connector), `Invalid` (the account has no credentials for it, or the
        venue does not take them) or `Unavailable` (the venue has not answered yet).
        """
        ...

    def config_map(self, connector: str) -> Mapping[str, ConfigField]:
        """Return the fields that a connector's credentials have. Raises `NotFound`."""
        ...

    def check_credentials(self, connector: str, credentials: Mapping[str, object]) -> None:
        """Raise `Invalid` for an unknown connector, or naming a field that is unknown, missing or wrong."""
        ...

    async def verify(self, connector: str, credentials: Mapping[str, object]) -> None:
        """Ask the venue whether it takes credentials. Raises `Invalid` in its words, `Unavailable`."""
        ...

    async def connect(self, account: str, connector: str) -> None:
        """Connect an account with the credentials in the vault.

        Does nothing where it is connected with the same ones.
        """
        ...

    async def disconnect(self, account: str, connector: str | None = None) -> None:
        """Disconnect an account from a connector, or from all and forget the account."""
        ...


class Sink(Protocol):
    """Takes account reports in; never blocks, keeps the order of the reports of an account and connector."""

    def __call__(self, report: AccountReport) -> Awaitable[int]:
        """Take a report. What is returned may be awaited, or dropped: the position at which the report is recorded."""
        ...


class Checkpoints(Protocol):
    """How far each process has worked off the log."""

    async def read(self, process: str) -> int:
        """Return the position up to which the process is done, 0 for a new one."""
        ...

    async def save(self, process: str, position: int) -> None:
        """Keep that the process is done up to a position."""
        ...


Spawn = Callable[[Coroutine[object, object, None]], None]
"""Runs something beside the caller, in a task group that the composition root owns and waits for."""


class Turns:
    """One lock for each account, for as long as somebody holds it or waits for it.

    What changes an account, and what has to follow from it at the venues and in the vault, is one turn: what somebody
    read of an account before a change is not acted upon after it.
    """

    def __init__(self) -> None:
        """Begin with no lock."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __call__(self, account: str) -> asyncio.Lock:
        """Return an account's lock."""
        lock = self._locks.get(account)
        if lock is None:
            lock = self._locks[account] = asyncio.Lock()
        return lock


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """All that handlers and processes reach the outside by.

    `server` is this server's name, `yaml` what configurations are written with, `banned` tokens have no value, `fleet`
    is what bots need.
    """

    log: Log
    vault: Vault
    lookup: Lookup
    venues: Venues
    sink: Sink
    checkpoints: Checkpoints
    clock: Clock
    new_id: NewId
    spawn: Spawn
    server: str
    yaml: Yaml
    fleet: Fleet
    archives: Archives
    banned: frozenset[str] = frozenset()
    turns: Turns = msgspec.field(default_factory=Turns)
