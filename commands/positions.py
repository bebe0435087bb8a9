"""Set leverage and position mode: the wish is committed first, then the venue is asked, then its word is committed."""

from collections.abc import Awaitable, Callable

from commands.bus import Call, Command, Handlers, Outcome
from commands.deciding import append, decide
from commands.ports import Exchange, Ports
from domain import positions
from domain.errors import Invalid, NotFound
from domain.events import Event
from domain.positions import (
    NEW,
    LeverageRequested,
    LeverageSet,
    MarginRefused,
    PositionModeRequested,
    PositionModeSet,
    evolve,
    margin_stream_of,
)


class SetLeverage(Command, frozen=True, kw_only=True):
    """Trade a pair at this leverage, an integer from 1."""

    account: str
    connector: str
    trading_pair: str
    leverage: int


class SetPositionMode(Command, frozen=True, kw_only=True):
    """Keep positions in this mode: `ONEWAY` or `HEDGE`."""

    account: str
    connector: str
    mode: str


class GiveUpMarginRequest(Command, frozen=True, kw_only=True):
    """Note that a leverage or mode asked for before a crash was never answered."""

    account: str
    connector: str


def _perpetual(ports: Ports, account: str, connector: str) -> Exchange:
    exchange = ports.venues.connected(account, connector)
    if not exchange.perpetual:
        raise Invalid(f"Connector '{connector}' is not a perpetual connector")
    return exchange


async def set_leverage(command: SetLeverage, call: Call) -> Outcome:
    """Set the leverage; answers when the venue has taken it."""
    exchange = _perpetual(call.ports, command.account, command.connector)
    rules = await exchange.trading_rules()
    if command.trading_pair not in rules:
        raise NotFound(
            f"Trading pair '{command.trading_pair}' not supported on {command.connector}."
            f" Available pairs: {list(rules)[:20]}"
        )
    return await _ask(
        call,
        command.account,
        command.connector,
        request=lambda state: positions.request_leverage(
            state,
            account=command.account,
            connector=command.connector,
            trading_pair=command.trading_pair,
            leverage=command.leverage,
        ),
        send=lambda: exchange.set_leverage(command.account, command.trading_pair, command.leverage),
    )


async def set_mode(command: SetPositionMode, call: Call) -> Outcome:
    """Set the position mode; answers when the venue has taken it."""
    exchange = _perpetual(call.ports, command.account, command.connector)
    mode = positions.mode_of(command.mode)
    return await _ask(
        call,
        command.account,
        command.connector,
        request=lambda state: positions.request_mode(
            state, account=command.account, connector=command.connector, mode=mode
        ),
        send=lambda: exchange.set_mode(command.account, mode),
    )


async def _ask(
    call: Call,
    account: str,
    connector: str,
    *,
    request: Callable[[positions.Margin], list[Event]],
    send: Callable[[], Awaitable[None]],
) -> Outcome:
    """Commit the request, send it, commit the answer. The idempotency key goes with the last commit of the three."""
    stream = margin_stream_of(account, connector)
    decided = await decide(call.ports.log, call.plain(), stream=stream, new=NEW, evolve=evolve, decision=request)
    if not decided.events:
        position = (
            await append(call.ports.log, [], call.origin, answer=call.keep(None), request=call.request)
            if call.origin.idempotency_key
            else decided.position
        )
        return Outcome(result=None, position=position)
    (requested,) = decided.events
    try:
        await send()
    except Invalid as refusal:
        await _answer(
            call, stream, MarginRefused(account=account, connector=connector, reason=refusal.message), last=False
        )
        raise
    return Outcome(result=None, position=await _answer(call, stream, _granted(requested), last=True))


def _granted(requested: Event) -> Event:
    match requested:
        case LeverageRequested(account=account, connector=connector, trading_pair=pair, leverage=leverage):
            return LeverageSet(account=account, connector=connector, trading_pair=pair, leverage=leverage)
        case PositionModeRequested(account=account, connector=connector, mode=mode):
            return PositionModeSet(account=account, connector=connector, mode=mode)
    raise TypeError(f"a request for margin settings is not a {type(requested).__name__}")


async def _answer(call: Call, stream: str, event: Event, *, last: bool) -> int:
    """Commit the venue's word: a fact, whatever came between."""
    decided = await decide(
        call.ports.log,
        call.origin if last else call.plain(),
        stream=stream,
        new=NEW,
        evolve=evolve,
        decision=lambda _: [event],
        answer=call.keep(None) if last else None,
        request=call.request if last else b"",
    )
    return decided.position


async def give_up(command: GiveUpMarginRequest, call: Call) -> Outcome:
    """Record that a request that was under way when the server stopped has no answer; nothing is sent again."""
    decided = await decide(
        call.ports.log,
        call.origin,
        stream=margin_stream_of(command.account, command.connector),
        new=NEW,
        evolve=evolve,
        decision=lambda state: positions.give_up(state, account=command.account, connector=command.connector),
    )
    return Outcome(result=None, position=decided.position)


HANDLERS: Handlers = {
    SetLeverage: (set_leverage, None),
    SetPositionMode: (set_mode, None),
    GiveUpMarginRequest: (give_up, None),
}
