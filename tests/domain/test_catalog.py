import json

import msgspec
import pytest

from domain.catalog import decode
from domain.orders import OrderRejected
from domain.upcasters import UPCASTERS

STORED = {"why": "No depth", "rejected_at": "2026-03-01T12:30:15Z"}


def renamed(stored):
    return {"reason": stored["why"], "rejected_at": stored["rejected_at"]}


def test_an_event_in_an_older_shape_is_read_in_today_s(monkeypatch):
    monkeypatch.setitem(UPCASTERS, ("OrderRejected", 0), renamed)
    event = decode("OrderRejected", 0, json.dumps(STORED).encode())
    assert isinstance(event, OrderRejected)
    assert event.reason == "No depth"


def test_an_older_shape_goes_through_every_step(monkeypatch):
    monkeypatch.setitem(UPCASTERS, ("OrderRejected", -1), lambda stored: {**stored, "why": stored["cause"]})
    monkeypatch.setitem(UPCASTERS, ("OrderRejected", 0), renamed)
    stored = {"cause": "No depth", "rejected_at": "2026-03-01T12:30:15Z"}
    event = decode("OrderRejected", -1, json.dumps(stored).encode())
    assert isinstance(event, OrderRejected)
    assert event.reason == "No depth"


def test_what_cannot_be_read_is_never_skipped():
    with pytest.raises(KeyError):
        decode("OrderRejected", 0, json.dumps(STORED).encode())
    with pytest.raises(KeyError):
        decode("OrderImagined", 1, b"{}")
    with pytest.raises(msgspec.DecodeError):
        decode("OrderRejected", 1, json.dumps(STORED).encode())
