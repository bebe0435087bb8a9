"""Positions as venues tell them, in our words."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.exchanges.standing import positions
from domain.values import PositionMode, PositionSide


class Bitcoin:
    def pair(self, symbol):
        return "BTC-USDT" if symbol == "BTC/USDT:USDT" else None

    def contract_size(self, pair):
        return Decimal(1)


@pytest.mark.parametrize(
    ("told", "leverage"),
    [
        ({"leverage": 20, "initialMargin": "600"}, 20),
        ({"leverage": None, "initialMargin": "120.00000001"}, 5),
        ({"initialMargin": "900", "info": {"initialMargin": "900", "positionInitialMargin": "120"}}, 5),
        ({"leverage": None, "initialMargin": None}, 1),
    ],
    ids=["named", "by its margin", "by its margin beside open orders", "nothing is told"],
)
def test_the_leverage_of_a_position_is_what_the_venue_says_or_what_its_margin_tells(told, leverage):
    raw = {"symbol": "BTC/USDT:USDT", "contracts": "0.01", "side": "long", "notional": "600", "hedged": False, **told}
    held = positions(
        [raw],
        symbols=Bitcoin(),
        account="main",
        connector="binance_perpetual",
        mode=PositionMode.ONEWAY,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert held["BTC-USDT", PositionSide.BOTH].leverage == leverage
