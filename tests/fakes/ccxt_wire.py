"""What ccxt would send for an exchange, without a venue: each request is kept instead of sent."""

import base64
import re
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from adapters.exchanges import names
from adapters.exchanges.clients import VenueClient
from adapters.exchanges.connections import ATTEMPT
from adapters.exchanges.dialects import dialect
from adapters.exchanges.markets import Markets, read
from domain.errors import DomainError

ADDRESS = f"0x{'cd' * 20}"
SECRETS: Mapping[str, str] = {
    "kraken": base64.b64encode(b"k" * 32).decode(),
    "btcmarkets": base64.b64encode(b"k" * 32).decode(),
    "backpack": base64.b64encode(b"k" * 32).decode(),
    "gemini": "account-abc",
    "pacifica": "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi",
}
"""Where a secret is more than any text."""

# What exchanges ask before they trade: the kind of the account.
ANSWERS: Mapping[str, object] = {
    r"account/mode": {"data": {"selfMargin": False, "accountMode": "CLASSIC"}, "code": "200000"},
    r"account/detail|unified/unified_mode": {"user_id": 1, "mode": "classic"},
    r"v3/account/settings": {"code": "40085", "data": {}},
    r"/account/accounts": {"status": "ok", "data": [{"id": 5, "type": "spot", "state": "working"}]},
    r"v5/account/info": {"result": {"unifiedMarginStatus": 5}},
    r"user/query-api": {"result": {"unified": 1, "uta": 1}},
}


class Request(msgspec.Struct, frozen=True):
    """A request as it would leave."""

    method: str
    path: str
    query: str
    body: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}?{self.query} {self.body}"

    def __contains__(self, text: str) -> bool:
        """Whether a text stands anywhere in it."""
        return text in str(self)


class Wire:
    """A connector whose requests are kept. It trades BTC-USDT."""

    def __init__(self, name: str) -> None:
        self.connector = names.connector(name)
        self.client = VenueClient(self.connector, credentials=credentials_of(self.connector))
        self.dialect = dialect(name)
        self.requests: list[Request] = []
        self.answer: object = {}
        exchange = self.client.exchange
        exchange.enableRateLimit = False
        exchange.set_markets([_market(exchange, perpetual=self.connector.market == "swap")])
        exchange.fetch = self._fetch
        self.markets: Markets = read(exchange.markets.values(), self.connector)

    async def _fetch(self, url: str, method: str = "GET", headers: object = None, body: object = None) -> Any:
        ATTEMPT.get().answered(200, "OK", {}, "")
        parts = urlsplit(url)
        for asked, answer in ANSWERS.items():
            if re.search(asked, parts.path):
                return answer
        if parts.path == "/info" and "userAbstraction" in str(body):
            return "default"
        self.requests.append(Request(method, parts.path, parts.query, str(body or "")))
        return self.answer

    async def sent(self, asking: Awaitable[object]) -> list[Request]:
        """Return what is sent for a call of the client; what ccxt makes of the empty answer is of no interest."""
        self.requests.clear()
        try:
            await asking
        except DomainError:
            if not self.requests:
                raise
        return list(self.requests)


def credentials_of(connector: names.Connector) -> dict[str, object]:
    """Return credentials of the right form for a connector."""
    made: dict[str, object] = {}
    for field, config in connector.fields.items():
        attribute = connector.credentials.get(field, "")
        if config.allowed_values or config.type == "bool" or not config.required:
            continue
        if attribute in {"options.subaccount_id", "uid"}:
            made[field] = "1"
        elif attribute == "options.privateKey":
            made[field] = f"{'abandon ' * 11}about"
        elif connector.exchange_id == "dydx":
            made[field] = f"dydx1{'q' * 38}"
        elif "allet" in attribute and connector.exchange_id != "pacifica":
            made[field] = ADDRESS
        else:
            made[field] = SECRETS.get(connector.exchange_id, f"0x{'ab' * 32}")
    return made


def _market(exchange: Any, *, perpetual: bool) -> dict[str, Any]:
    made: dict[str, Any] = exchange.safe_market_structure(
        {
            "id": "BTCUSDT",
            "symbol": "BTC/USDT:USDT" if perpetual else "BTC/USDT",
            "base": "BTC",
            "quote": "USDT",
            "settle": "USDT" if perpetual else None,
            "baseId": "0",
            "quoteId": "usdt",
            "settleId": "usdt" if perpetual else None,
            "type": "swap" if perpetual else "spot",
            "spot": not perpetual,
            "swap": perpetual,
            "margin": False,
            "future": False,
            "option": False,
            "active": True,
            "contract": perpetual,
            "linear": True if perpetual else None,
            "inverse": False if perpetual else None,
            "contractSize": "0.00001" if perpetual else None,
            "precision": {"amount": "1" if perpetual else "0.00001", "price": "0.01", "cost": "0.01"},
            "limits": {
                "amount": {"min": None, "max": None},
                "price": {"min": None, "max": None},
                "cost": {"min": None, "max": None},
                "leverage": {"min": None, "max": None},
            },
            "info": {
                "quoteIncrement": "0.01",
                "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
                "contractType": "perpetual",
                "base_asset_address": ADDRESS,
                "base_asset_sub_id": "0",
                "atomicResolution": "-10",
                "quantumConversionExponent": "-9",
                "clobPairId": "0",
            },
        }
    )
    return made
