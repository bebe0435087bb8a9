"""Read the prices that a source tells: exact, and none that cannot be one."""

from decimal import Decimal, InvalidOperation

_LARGEST_EXPONENT = 40
"""No token is worth 10^40 of another: what is written so is a mistake, and the product of some would be no number."""


def price(told: object) -> Decimal | None:
    """Return a price as it was told, a text or a number; None for what is no price of anything."""
    if told is None:
        return None
    try:
        value = Decimal(str(told))
    except InvalidOperation:
        return None
    if not value.is_finite() or value <= 0 or abs(value.adjusted()) > _LARGEST_EXPONENT:
        return None
    return value


def middle(bid: object, ask: object) -> Decimal | None:
    """Return the price between the best bid and the best ask, None where there are not both."""
    low, high = price(bid), price(ask)
    return (low + high) / 2 if low is not None and high is not None and low <= high else None
