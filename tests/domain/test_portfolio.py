"""Balances and what they are worth."""

from datetime import UTC, datetime
from decimal import Decimal

from domain import portfolio
from domain.portfolio import Balance, BalancesObserved, Holding
from domain.rates import usd_prices

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def holding(token: str, units: str) -> Holding:
    return Holding(token=token, units=Decimal(units), available=Decimal(units))


def test_balances_are_valued_where_a_price_is_known_and_banned_tokens_kept_without() -> None:
    (observed,) = portfolio.observe(
        [holding("BTC", "2"), holding("XYZ", "1"), holding("SPAM", "9")],
        account="a",
        connector="paper",
        prices={"BTC": Decimal(50_000), "SPAM": Decimal(1)},
        banned=frozenset({"SPAM"}),
        at=T0,
    )
    assert observed == BalancesObserved(
        account="a",
        connector="paper",
        observed_at=T0,
        balances=[
            Balance(token="BTC", units=Decimal(2), available=Decimal(2), price=Decimal(50_000), value=Decimal(100_000)),
            Balance(token="XYZ", units=Decimal(1), available=Decimal(1)),
            Balance(token="SPAM", units=Decimal(9), available=Decimal(9), banned=True),
        ],
    )


def test_a_stream_is_named_after_account_and_connector() -> None:
    assert portfolio.stream_of("a", "paper") == "balances-a-paper"


def test_a_price_in_dollars_is_found_by_the_shortest_path() -> None:
    prices = {
        "BTC-USDT": Decimal(50_000),
        "ETH-BTC": Decimal("0.05"),
        "ETH-EUR": Decimal(2_400),
        "EUR-USDT": Decimal("1.1"),
        "LDO-ETH": Decimal("0.001"),
        "USDT-BRL": Decimal(5),
        "DEAD-USDT": Decimal(0),
        "FAR-AWAY": Decimal(1),
    }
    found = usd_prices(["USDT", "USDC", "BTC", "ETH", "LDO", "BRL", "DEAD", "FAR"], prices)
    assert found == {
        "USDT": Decimal(1),
        "USDC": Decimal(1),
        "BTC": Decimal(50_000),
        "ETH": Decimal(2_500),
        "LDO": Decimal("2.5"),
        "BRL": Decimal("0.2"),
    }


def test_other_dollars_price_a_token_too() -> None:
    assert usd_prices(["ABC"], {"ABC-USDC": Decimal(3)}) == {"ABC": Decimal(3)}
