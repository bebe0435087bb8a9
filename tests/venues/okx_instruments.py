"""What the OKX venue lists: the pairs of its spot market, and linear swaps on some of them, counted in contracts.

A swap's size is a number of contracts of `ctVal` base each (OKX API v5, get instruments). Whoever takes a size for an
amount of base is wrong by a factor of 100 on BTC.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from domain.connectors import TradingRule
from domain.values import ONE, plain, split_pair
from tests.venues.ledger import Market

KINDS = {Market.SPOT: "SPOT", Market.SWAP: "SWAP"}

_CONTRACTS = {"BTC-USDT": Decimal("0.01"), "ETH-USDT": Decimal("0.1"), "SOL-USDT": ONE}


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to trade. `contract` is the base of one unit of size, `lot` and `least` are sizes."""

    id: str
    market: Market
    trading_pair: str
    contract: Decimal
    lot: Decimal
    least: Decimal
    tick: Decimal
    code: int

    @property
    def perpetual(self) -> bool:
        """Whether it is a swap."""
        return self.market is Market.SWAP

    @property
    def kind(self) -> str:
        """The venue's word for the market."""
        return KINDS[self.market]

    @property
    def base(self) -> str:
        """The token that is traded."""
        return split_pair(self.trading_pair)[0]

    @property
    def quote(self) -> str:
        """The token that it is priced in."""
        return split_pair(self.trading_pair)[1]

    def amount(self, size: Decimal) -> Decimal:
        """Return the base in a size."""
        return size * self.contract

    def size(self, amount: Decimal) -> str:
        """Return the size of an amount of base, as it is written."""
        return text(amount / self.contract)

    def row(self) -> dict[str, object]:
        """Return the instrument as the venue lists it."""
        swap = self.perpetual
        return {
            "instType": self.kind,
            "instId": self.id,
            "instIdCode": self.code,
            "uly": self.trading_pair if swap else "",
            "instFamily": self.trading_pair if swap else "",
            "baseCcy": "" if swap else self.base,
            "quoteCcy": "" if swap else self.quote,
            "settleCcy": self.quote if swap else "",
            "ctVal": text(self.contract) if swap else "",
            "ctMult": "1" if swap else "",
            "ctValCcy": self.base if swap else "",
            "ctType": "linear" if swap else "",
            "lever": "125" if swap else "1",
            "tickSz": text(self.tick),
            "lotSz": text(self.lot),
            "minSz": text(self.least),
            "maxLmtSz": "100000000",
            "maxMktSz": "1000000",
            "maxLmtAmt": "20000000",
            "maxMktAmt": "1000000",
            "listTime": "1548133413000",
            "contTdSwTime": "1548133413000",
            "expTime": "",
            "state": "live",
            "ruleType": "normal",
        }


def text(value: Decimal) -> str:
    """Return a number as the venue writes it: plain digits in a string."""
    return f"{plain(value):f}"


def listed(market: Market, rules: Mapping[str, TradingRule]) -> dict[str, Instrument]:
    """Return the instruments of one market by their id."""
    found: dict[str, Instrument] = {}
    for number, (trading_pair, rule) in enumerate(rules.items()):
        swap = market is Market.SWAP
        contract = _CONTRACTS[trading_pair] if swap else ONE
        name = f"{trading_pair}-SWAP" if swap else trading_pair
        found[name] = Instrument(
            id=name,
            market=market,
            trading_pair=trading_pair,
            contract=contract,
            lot=rule.min_base_amount_increment / contract,
            least=rule.min_order_size / contract,
            tick=rule.min_price_increment,
            code=(20_000 if swap else 10_000) + number,
        )
    return found
