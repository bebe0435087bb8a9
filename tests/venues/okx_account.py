"""OKX's account endpoints: balances, positions, settings, bills."""

from collections.abc import Mapping

from aiohttp import web

from tests.venues.ledger import Market
from tests.venues.okx_answers import Refusal, Row, answer, wrong_parameter
from tests.venues.okx_instruments import Instrument, text
from tests.venues.okx_orders import MODES, instrument_of, number, word
from tests.venues.okx_rows import balance_row, funding_row, modes, position_row
from tests.venues.okx_trade import PAGE, Call
from tests.venues.okx_venue import translated
from tests.venues.steps import Refusal as FloorRefusal

_MOST_LEVERAGE = 125


def configuration(call: Call) -> web.Response:
    """Return the account's settings; this is how the keys are checked."""
    row = {
        "uid": call.keys.account,
        "mainUid": call.keys.account,
        "acctLv": "2",
        "posMode": modes(call.venue.mode(call.keys.account)),
        "autoLoan": False,
        "greeksType": "PA",
        "level": "Lv1",
        "perm": "read_only,trade",
    }
    return answer([row])


def balance(call: Call) -> web.Response:
    """Return what the account has on the market that the request came to."""
    wanted = call.args.get("ccy")
    holdings = call.venue.floor.desk(call.market).holdings(call.keys.account)
    shown = [each for each in holdings if wanted is None or each.token in wanted.split(",")]
    return answer([balance_row(shown, call.venue.now())])


def positions(call: Call) -> web.Response:
    """Return the positions that there are."""
    if word(call.args, "instType", "", "SWAP", "MARGIN", "FUTURES", "OPTION") not in {"", "SWAP"}:
        return answer([])
    wanted = call.args.get("instId")
    rows = []
    for position in call.venue.floor.desk(Market.SWAP).positions(call.keys.account):
        instrument = call.venue.instrument(Market.SWAP, position.trading_pair)
        if wanted is None or instrument.id in wanted.split(","):
            rows.append(position_row(call.venue, instrument, position))
    return answer(rows)


def leverage(call: Call) -> web.Response:
    """Return the leverage of swaps."""
    word(call.args, "mgnMode", "cross")
    names = call.args.get("instId", "").split(",")
    return answer([_leverage(call, _swap(call, {"instId": name})) for name in names])


def set_leverage(call: Call) -> web.Response:
    """Set the leverage of a swap, for both sides."""
    instrument = _swap(call, call.one)
    word(call.one, "mgnMode", "cross")
    value = number(call.one, "lever")
    if value != int(value) or value > _MOST_LEVERAGE:
        raise Refusal("59102")
    try:
        call.venue.desk(instrument).set_leverage(call.keys.account, instrument.trading_pair, int(value))
    except FloorRefusal as refused:
        raise translated(refused) from refused
    return answer([_leverage(call, instrument)])


def set_mode(call: Call) -> web.Response:
    """Set the position mode."""
    mode = MODES[word(call.one, "posMode", *MODES)]
    try:
        call.venue.floor.desk(Market.SWAP).set_mode(call.keys.account, mode)
    except FloorRefusal as refused:
        raise translated(refused) from refused
    return answer([{"posMode": modes(mode)}])


def bills(call: Call) -> web.Response:
    """Return funding payments, newest first; bills of another type are not kept."""
    if word(call.args, "type", "", "8") != "8":
        raise wrong_parameter("type")
    wanted = call.args.get("instId")
    rows = []
    for name, payment in reversed(call.venue.ledger.funding(call.keys.account)):
        instrument = call.venue.instrument(Market.SWAP, payment.trading_pair)
        if wanted in {None, instrument.id}:
            rows.append(funding_row(instrument, name, payment))
    return answer(rows[:PAGE])


def fees(call: Call) -> web.Response:
    """Return what is charged, as negative shares of the notional."""
    charged = call.venue.floor.desk(Market.SWAP if call.args.get("instType") == "SWAP" else Market.SPOT).fees
    maker, taker = text(-charged.maker), text(-charged.taker)
    return answer([{"level": "Lv1", "maker": maker, "taker": taker, "makerU": maker, "takerU": taker}])


def currencies(call: Call) -> web.Response:
    """Return all tokens that anything is traded in."""
    tokens = {token for each in call.venue.instruments.values() for token in (each.base, each.quote)}
    rows = [
        {
            "ccy": token,
            "name": token,
            "chain": f"{token}-Main",
            "canDep": False,
            "canWd": False,
            "fee": "0",
            "minWd": "0",
            "maxWd": "0",
            "wdTickSz": "8",
        }
        for token in sorted(tokens)
    ]
    return answer(rows)


def _swap(call: Call, args: Mapping[str, object]) -> Instrument:
    instrument = instrument_of(args, call.venue.instruments)
    if not instrument.perpetual:
        raise wrong_parameter("instId")
    return instrument


def _leverage(call: Call, instrument: Instrument) -> Row:
    leverage = call.venue.desk(instrument).leverage(call.keys.account, instrument.trading_pair)
    return {"instId": instrument.id, "mgnMode": "cross", "posSide": "net", "lever": str(leverage)}
