"""What a Binance-like venue tells everybody by REST, on spot and on USDⓈ-M futures alike."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.connectors import TradingRule
from domain.matching.funding import boundary_after
from domain.values import ZERO, Json, Side, split_pair
from tests.venues.binance_gate import Ask, Denied, Route
from tests.venues.binance_words import digits, milliseconds, symbol_of
from tests.venues.ledger import Market
from tests.venues.steps import Print

_MINUTES = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480, "12h": 720,
    "1d": 1440,
}  # fmt: skip
_MOST = Decimal(9_000_000)


def ping(ask: Ask) -> object:
    """Answer that the venue is there."""
    del ask
    return {}


def server_time(ask: Ask) -> object:
    """Return the venue's time."""
    return {"serverTime": milliseconds(ask.floor.now())}


def exchange_info(ask: Ask) -> object:
    """Return all symbols with their filters."""
    spot = ask.market is Market.SPOT
    named = ask.pair_if_any()
    symbols = [
        (_spot_symbol if spot else _swap_symbol)(rule) for pair, rule in ask.desk.rules.items() if named in {None, pair}
    ]
    now = milliseconds(ask.floor.now())
    said: Json = {"timezone": "UTC", "serverTime": now, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}
    return said if spot else {**said, "futuresType": "U_MARGINED", "assets": [{"asset": "USDT"}]}


def depth(ask: Ask) -> object:
    """Return the book, with the number of its last change."""
    pair = ask.pair()
    bids, asks = ask.desk.depth(pair, ask.number("limit") or 100)
    said: Json = {"lastUpdateId": ask.desk.changes[pair], "bids": levels(bids), "asks": levels(asks)}
    now = milliseconds(ask.floor.now())
    return said if ask.market is Market.SPOT else {**said, "E": now, "T": now}


def trades(ask: Ask) -> object:
    """Return the last trades."""
    made = list(ask.desk.prints[ask.pair()])[-(ask.number("limit") or 500) :]
    return [
        {
            "id": each.trade_id,
            "price": digits(each.price),
            "qty": digits(each.amount),
            "quoteQty": digits(each.price * each.amount),
            "time": milliseconds(each.at),
            "isBuyerMaker": each.taker is Side.SELL,
            "isBestMatch": True,
        }
        for each in made
    ]


def aggregate_trades(ask: Ask) -> object:
    """Return the last trades, each one by itself."""
    made = list(ask.desk.prints[ask.pair()])[-(ask.number("limit") or 500) :]
    return [
        {
            "a": each.trade_id,
            "p": digits(each.price),
            "q": digits(each.amount),
            "f": each.trade_id,
            "l": each.trade_id,
            "T": milliseconds(each.at),
            "m": each.taker is Side.SELL,
            "M": True,
        }
        for each in made
    ]


def klines(ask: Ask) -> object:
    """Return candles out of the trades that are remembered: the first ones after a time, or the last ones."""
    found = candles(ask.desk.prints[ask.pair()], ask.text("interval"))
    since, until = ask.number("startTime"), ask.number("endTime") or milliseconds(ask.floor.now())
    within = [candle for start, candle in found.items() if (since or 0) <= start <= until]
    most = ask.number("limit") or 500
    return within[-most:] if since is None else within[:most]


def candles(prints: Iterable[Print], interval: str) -> dict[int, list[int | str]]:
    """Return candles as Binance writes them, by the time they begin at, oldest first. Raises `Denied`."""
    minutes = _MINUTES.get(interval)
    if minutes is None:
        raise Denied(-1120, "Invalid interval.")
    made: dict[datetime, list[Print]] = {}
    length = timedelta(minutes=minutes)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for each in prints:
        made.setdefault(epoch + (each.at - epoch) // length * length, []).append(each)
    return {milliseconds(start): _candle(start, start + length, made[start]) for start in sorted(made)}


def ticker_24h(ask: Ask) -> object:
    """Return the last day of one symbol, or of all."""
    pair = ask.pair_if_any()
    return day(ask, pair) if pair is not None else [day(ask, each) for each in ask.desk.rules]


def day(ask: Ask, pair: str) -> Json:
    """Return what was traded of a pair in the last 24 hours."""
    now = ask.floor.now()
    made = [each for each in ask.desk.prints[pair] if each.at > now - timedelta(days=1)]
    quote = ask.desk.quotes[pair]
    prices = [each.price for each in made] or [quote.mid]
    return {
        "symbol": symbol_of(pair),
        "priceChange": digits(prices[-1] - prices[0]),
        "lastPrice": digits(prices[-1]),
        "lastQty": digits(made[-1].amount if made else ZERO),
        "bidPrice": digits(quote.bid),
        "bidQty": digits(quote.bid_size),
        "askPrice": digits(quote.ask),
        "askQty": digits(quote.ask_size),
        "openPrice": digits(prices[0]),
        "highPrice": digits(max(prices)),
        "lowPrice": digits(min(prices)),
        "volume": digits(sum((each.amount for each in made), ZERO)),
        "quoteVolume": digits(sum((each.amount * each.price for each in made), ZERO)),
        "openTime": milliseconds(now - timedelta(days=1)),
        "closeTime": milliseconds(now),
        "count": len(made),
    }


def book_ticker(ask: Ask) -> object:
    """Return the best prices of one symbol, or of all."""
    pair = ask.pair_if_any()
    return best(ask, pair) if pair is not None else [best(ask, each) for each in ask.desk.rules]


def best(ask: Ask, pair: str) -> Json:
    """Return the best bid and ask of a pair."""
    bids, asks = ask.desk.depth(pair, 1)
    bid, ask_ = bids[0] if bids else (ZERO, ZERO), asks[0] if asks else (ZERO, ZERO)
    return {
        "symbol": symbol_of(pair),
        "bidPrice": digits(bid[0]),
        "bidQty": digits(bid[1]),
        "askPrice": digits(ask_[0]),
        "askQty": digits(ask_[1]),
        "time": milliseconds(ask.floor.now()),
    }


def price(ask: Ask) -> object:
    """Return the last price of one symbol, or of all."""
    pair = ask.pair_if_any()
    pairs = [pair] if pair is not None else list(ask.desk.rules)
    found = [{"symbol": symbol_of(each), "price": day(ask, each)["lastPrice"]} for each in pairs]
    return found[0] if pair is not None else found


def premium_index(ask: Ask) -> object:
    """Return mark price and funding rate of one symbol, or of all."""
    pair = ask.pair_if_any()
    now = ask.floor.now()
    found = [
        {
            "symbol": symbol_of(each),
            "markPrice": digits(mark),
            "indexPrice": digits(mark),
            "estimatedSettlePrice": digits(mark),
            "lastFundingRate": digits(ask.desk.funding_rate),
            "interestRate": digits(ask.desk.funding_rate),
            "nextFundingTime": milliseconds(boundary_after(now)),
            "time": milliseconds(now),
        }
        for each, mark in ask.desk.marks().items()
        if pair in {None, each}
    ]
    return found[0] if pair is not None else found


ROUTES = (
    Route("GET", "/ping", ping),
    Route("GET", "/time", server_time),
    Route("GET", "/exchangeInfo", exchange_info),
    Route("GET", "/depth", depth),
    Route("GET", "/trades", trades),
    Route("GET", "/historicalTrades", trades, keyed=True),
    Route("GET", "/aggTrades", aggregate_trades),
    Route("GET", "/klines", klines),
    Route("GET", "/ticker/24hr", ticker_24h),
    Route("GET", "/ticker/bookTicker", book_ticker),
    Route("GET", "/ticker/price", price),
)


def levels(side: Sequence[tuple[Decimal, Decimal]]) -> list[list[str]]:
    """Return levels of a book as Binance writes them."""
    return [[digits(at), digits(amount)] for at, amount in side]


def _candle(start: datetime, end: datetime, made: Sequence[Print]) -> list[int | str]:
    prices = [each.price for each in made]
    bought = [each for each in made if each.taker is Side.BUY]
    return [
        milliseconds(start),
        digits(prices[0]),
        digits(max(prices)),
        digits(min(prices)),
        digits(prices[-1]),
        digits(sum((each.amount for each in made), ZERO)),
        milliseconds(end) - 1,
        digits(sum((each.amount * each.price for each in made), ZERO)),
        len(made),
        digits(sum((each.amount for each in bought), ZERO)),
        digits(sum((each.amount * each.price for each in bought), ZERO)),
        "0",
    ]


def _decimals(step: Decimal) -> int:
    return len(digits(step).partition(".")[2])


def _filters(rule: TradingRule, notional: Json) -> list[Json]:
    size, step = digits(rule.min_order_size), digits(rule.min_base_amount_increment)
    tick = digits(rule.min_price_increment)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": digits(_MOST), "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": size, "maxQty": digits(_MOST), "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": size, "maxQty": digits(_MOST), "stepSize": step},
        notional,
    ]


def _spot_symbol(rule: TradingRule) -> Json:
    base, quote = split_pair(rule.trading_pair)
    return {
        "symbol": symbol_of(rule.trading_pair),
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(
            rule,
            {
                "filterType": "NOTIONAL",
                "minNotional": digits(rule.min_notional_size),
                "applyMinToMarket": True,
                "maxNotional": digits(_MOST),
                "applyMaxToMarket": False,
                "avgPriceMins": 0,
            },
        ),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_TAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER"],
    }


def _swap_symbol(rule: TradingRule) -> Json:
    base, quote = split_pair(rule.trading_pair)
    return {
        "symbol": symbol_of(rule.trading_pair),
        "pair": symbol_of(rule.trading_pair),
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "0.5",
        "requiredMarginPercent": "0.8",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": _decimals(rule.min_price_increment),
        "quantityPrecision": _decimals(rule.min_base_amount_increment),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "filters": _filters(rule, {"filterType": "MIN_NOTIONAL", "notional": digits(rule.min_notional_size)}),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "GTX"],
    }
