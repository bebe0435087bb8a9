"""Positions on perpetuals: what is held, at which leverage, in which mode, and the funding paid for it."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from domain.errors import Invalid
from domain.events import Event
from domain.values import Ids, PositionMode, PositionSide, Utc


class PositionObserved(Event, frozen=True, kw_only=True):
    """A position as the venue told it; amount 0 is a closed one. Stream `position-<account>-<connector>-<pair>`.

    `amount` in base, negative when short; prices in quote per base; `unrealized_pnl` in quote at `mark_price`.
    """

    account: str
    connector: str
    trading_pair: str
    side: PositionSide
    amount: Decimal
    entry_price: Decimal
    mark_price: Decimal
    unrealized_pnl: Decimal
    leverage: int
    observed_at: Utc


class FundingPaid(Event, frozen=True, kw_only=True):
    """One funding payment of a position.

    `payment` in `currency`, negative when we paid; `funding_id` is the venue's.
    """

    account: str
    connector: str
    trading_pair: str
    funding_id: str
    rate: Decimal
    payment: Decimal
    currency: str
    position_size: Decimal
    position_side: PositionSide
    paid_at: Utc


class LeverageRequested(Event, frozen=True, kw_only=True):
    """We are about to ask the venue for a leverage. Stream `margin-<account>-<connector>`, as for the events below."""

    account: str
    connector: str
    trading_pair: str
    leverage: int


class LeverageSet(Event, frozen=True, kw_only=True):
    """The venue trades a pair at this leverage from now on."""

    account: str
    connector: str
    trading_pair: str
    leverage: int


class PositionModeRequested(Event, frozen=True, kw_only=True):
    """We are about to ask the venue for a position mode."""

    account: str
    connector: str
    mode: PositionMode


class PositionModeSet(Event, frozen=True, kw_only=True):
    """The venue keeps positions in this mode from now on."""

    account: str
    connector: str
    mode: PositionMode


class MarginRefused(Event, frozen=True, kw_only=True):
    """The venue did not take the last leverage or position mode asked for, in its own words."""

    account: str
    connector: str
    reason: str


EVENTS = (
    PositionObserved,
    FundingPaid,
    LeverageRequested,
    LeverageSet,
    PositionModeRequested,
    PositionModeSet,
    MarginRefused,
)


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """How an account trades a perpetual connector. `pending` is whether something was asked for and not answered."""

    mode: PositionMode = PositionMode.ONEWAY
    leverage: dict[str, int] = {}
    pending: bool = False


NEW = Margin()


def stream_of(account: str, connector: str, trading_pair: str) -> str:
    """Return the stream of an account's positions in a pair."""
    return f"position-{account}-{connector}-{trading_pair}"


def margin_stream_of(account: str, connector: str) -> str:
    """Return the stream of an account's leverage and position mode on a connector."""
    return f"margin-{account}-{connector}"


def evolve(state: Margin, event: Event) -> Margin:
    """Return the margin settings after one more event."""
    match event:
        case LeverageRequested() | PositionModeRequested():
            return msgspec.structs.replace(state, pending=True)
        case LeverageSet(trading_pair=pair, leverage=leverage):
            return msgspec.structs.replace(state, leverage={**state.leverage, pair: leverage}, pending=False)
        case PositionModeSet(mode=mode):
            return msgspec.structs.replace(state, mode=mode, pending=False)
        case MarginRefused():
            return msgspec.structs.replace(state, pending=False)
        case _:
            return state


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the log knows of an account in a pair: the last word on each side, and the payments that are counted."""

    sides: Mapping[PositionSide, PositionObserved] = {}
    payments: Ids = Ids()


def learn(state: Known, event: Event) -> Known:
    """Return what is known of a pair after one more event."""
    match event:
        case PositionObserved(side=side):
            return msgspec.structs.replace(state, sides={**state.sides, side: event})
        case FundingPaid(funding_id=funding_id):
            return msgspec.structs.replace(state, payments=state.payments.plus(funding_id))
        case _:
            return state


def observe(state: Known, seen: PositionObserved, *, always: bool) -> list[Event]:
    """Note a position that is another one than before, or that is held and has to be noted `always`.

    At another price alone it is the same one.
    """
    before = state.sides.get(seen.side)
    if not seen.amount and (before is None or not before.amount):
        return []
    return [seen] if always or before is None or _terms(before) != _terms(seen) else []


def _terms(seen: PositionObserved) -> tuple[Decimal, Decimal, int]:
    return seen.amount, seen.entry_price, seen.leverage


def pay(state: Known, paid: FundingPaid) -> list[Event]:
    """Note a funding payment; one that is counted already gives `[]`."""
    return [] if paid.funding_id in state.payments else [paid]


def request_leverage(state: Margin, *, account: str, connector: str, trading_pair: str, leverage: int) -> list[Event]:
    """Ask for a leverage (an integer from 1); asking for what is set already does nothing."""
    if not state.pending and state.leverage.get(trading_pair) == leverage:
        return []
    return [LeverageRequested(account=account, connector=connector, trading_pair=trading_pair, leverage=leverage)]


def mode_of(word: str) -> PositionMode:
    """Return the mode that a word names. Raises `Invalid` for one that names none."""
    if word not in PositionMode.__members__:
        raise Invalid(f"Invalid position mode '{word[:40]}'. Must be 'HEDGE' or 'ONEWAY'")
    return PositionMode(word)


def request_mode(state: Margin, *, account: str, connector: str, mode: PositionMode) -> list[Event]:
    """Ask for a position mode; asking for what is set already does nothing."""
    if not state.pending and state.mode is mode:
        return []
    return [PositionModeRequested(account=account, connector=connector, mode=mode)]


def give_up(state: Margin, *, account: str, connector: str) -> list[Event]:
    """Note that what was asked for was never answered: what the venue has now is what it says."""
    if not state.pending:
        return []
    return [MarginRefused(account=account, connector=connector, reason="The server stopped before the venue answered")]
