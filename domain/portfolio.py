"""Portfolio: what each account holds on each connector, and what it was worth when we saw it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.events import Event
from domain.values import Utc


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One token on a venue, in units of the token. `available` is what no open order or position holds."""

    token: str
    units: Decimal
    available: Decimal


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One token of an account.

    `units` and `available` in the token, `price` and `value` in USD, None when not known.
    """

    token: str
    units: Decimal
    available: Decimal
    price: Decimal | None = None
    value: Decimal | None = None
    banned: bool = False  # the operator does not want to see it: kept, never shown nor valued


class BalancesObserved(Event, frozen=True, kw_only=True):
    """All balances of an account on a connector, as the venue told them. Stream `balances-<account>-<connector>`."""

    account: str
    connector: str
    balances: list[Balance]
    observed_at: Utc


EVENTS = (BalancesObserved,)


def stream_of(account: str, connector: str) -> str:
    """Return the stream of an account's balances on a connector."""
    return f"balances-{account}-{connector}"


def observe(
    holdings: Sequence[Holding],
    *,
    account: str,
    connector: str,
    prices: Mapping[str, Decimal],
    banned: frozenset[str],
    at: Utc,
) -> list[Event]:
    """Note the balances of an account, valued at `prices` (token → USD); `banned` tokens are kept without a value."""
    return [
        BalancesObserved(
            account=account,
            connector=connector,
            observed_at=at,
            balances=[
                _valued(holding, None if holding.token in banned else prices.get(holding.token), banned)
                for holding in holdings
            ],
        )
    ]


def _valued(holding: Holding, price: Decimal | None, banned: frozenset[str]) -> Balance:
    return Balance(
        token=holding.token,
        units=holding.units,
        available=holding.available,
        price=price,
        value=None if price is None else holding.units * price,
        banned=holding.token in banned,
    )
