"""How several reports become one, and which may not."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from domain.orders import OrderAccepted
from domain.portfolio import Holding
from domain.reports import AccountReport, merge

T0 = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = AccountReport(account="a", connector="binance", reported_at=T0)
FACT = OrderAccepted(exchange_order_id="7", accepted_at=T0)


def report(**parts: object) -> AccountReport:
    return msgspec.structs.replace(EMPTY, **parts)


def test_several_reports_say_what_they_said_after_each_other() -> None:
    held = [Holding(token="USDT", units=Decimal(n), available=Decimal(n)) for n in (1, 2)]
    reports = [
        report(orders=[("n1", FACT)], holdings=held[:1], snapshot=True),
        report(orders=[("n2", FACT)], holdings=held[1:]),
        report(orders=[("n3", FACT)]),
    ]
    assert merge(reports) == report(
        orders=[("n1", FACT), ("n2", FACT), ("n3", FACT)],
        observed=[],
        holdings=held[1:],
        positions=[],
        funding=[],
        snapshot=True,
    )
    assert merge(reports[:1]) is reports[0]


@pytest.mark.parametrize("parts", [{"reconciles": "start"}, {"began_at": T0}], ids=["reconciles", "began"])
def test_a_report_that_is_held_against_the_log_stands_alone(parts: dict[str, object]) -> None:
    assert report(**parts).stands_alone
    assert not EMPTY.stands_alone
