"""How a portfolio is spread: over tokens, and over accounts. All values in USD, percentages of the whole."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import msgspec

from domain.values import ZERO
from projections.portfolio import Holding

ALL = "all_accounts"


class OnConnector(msgspec.Struct, frozen=True, kw_only=True):
    """What lies on a connector."""

    value: float
    units: float


class InAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in an account."""

    value: float
    units: float
    percentage: float
    connectors: dict[str, OnConnector]


class TokenShare(msgspec.Struct, frozen=True, kw_only=True):
    """A token's part of the portfolio."""

    token: str
    total_value: float
    total_units: float
    percentage: float
    accounts: dict[str, InAccount]


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """The portfolio by token. `account_filter` names the accounts it is of."""

    total_portfolio_value: float
    token_count: int
    distribution: list[TokenShare]
    account_filter: str


class ConnectorShare(msgspec.Struct, frozen=True, kw_only=True):
    """A connector's part of the portfolio."""

    value: float
    percentage: float


class AccountShare(msgspec.Struct, frozen=True, kw_only=True):
    """An account's part of the portfolio."""

    account: str
    total_value: float
    percentage: float
    connectors: dict[str, ConnectorShare]


class AccountsDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """The portfolio by account."""

    total_portfolio_value: float
    account_count: int
    distribution: list[AccountShare]


def by_token(held: Sequence[Holding], accounts: Sequence[str] | None) -> Distribution:
    """Return the portfolio by token, the one worth most first; `accounts` are those it was asked for."""
    whole = _value(held)
    tokens = _grouped(held, lambda holding: holding.token)
    return Distribution(
        total_portfolio_value=_dollars(whole),
        token_count=len(tokens),
        distribution=[
            TokenShare(
                token=token,
                total_value=_dollars(_value(part)),
                total_units=float(_units(part)),
                percentage=_percentage(_value(part), whole),
                accounts={
                    account: InAccount(
                        value=_dollars(_value(own)),
                        units=float(_units(own)),
                        percentage=_percentage(_value(own), whole),
                        connectors={
                            connector: OnConnector(value=_dollars(_value(there)), units=float(_units(there)))
                            for connector, there in _grouped(own, lambda holding: holding.connector).items()
                        },
                    )
                    for account, own in _grouped(part, lambda holding: holding.account).items()
                },
            )
            for token, part in sorted(tokens.items(), key=lambda item: -_value(item[1]))
        ],
        account_filter=", ".join(accounts) if accounts else ALL,
    )


def by_account(held: Sequence[Holding]) -> AccountsDistribution:
    """Return the portfolio by account, the one worth most first."""
    whole = _value(held)
    accounts = _grouped(held, lambda holding: holding.account)
    return AccountsDistribution(
        total_portfolio_value=_dollars(whole),
        account_count=len(accounts),
        distribution=[
            AccountShare(
                account=account,
                total_value=_dollars(_value(own)),
                percentage=_percentage(_value(own), whole),
                connectors={
                    connector: ConnectorShare(
                        value=_dollars(_value(there)), percentage=_percentage(_value(there), whole)
                    )
                    for connector, there in _grouped(own, lambda holding: holding.connector).items()
                },
            )
            for account, own in sorted(accounts.items(), key=lambda item: -_value(item[1]))
        ],
    )


def _grouped(held: Iterable[Holding], key: Callable[[Holding], str]) -> dict[str, list[Holding]]:
    groups: dict[str, list[Holding]] = {}
    for holding in held:
        groups.setdefault(key(holding), []).append(holding)
    return groups


def _value(held: Iterable[Holding]) -> Decimal:
    return sum((holding.value for holding in held), ZERO)


def _units(held: Iterable[Holding]) -> Decimal:
    return sum((holding.units for holding in held), ZERO)


def _dollars(value: Decimal) -> float:
    return round(float(value), 6)


def _percentage(part: Decimal, whole: Decimal) -> float:
    return round(float(part / whole * 100), 4) if whole else 0.0
