"""What is stored is for ever: every type of event has samples that must be readable, whatever becomes of the code.

A sample is only ever added: one for the first shape of a type, one for each later one.
"""

import json
from pathlib import Path

import msgspec
import pytest

from domain.catalog import TYPES, decode, encode, type_of
from domain.upcasters import UPCASTERS
from projections.views import VIEWS

GOLDEN = Path(__file__).parents[1] / "golden_events"

# Events that no view shows, and why.
UNVIEWED = {
    "LeverageRequested": "an intent; views show the leverage that the venue took",
    "PositionModeRequested": "an intent; views show the mode that the venue took",
    "BotConfigChanged": "what a bot has is asked of its files, which it may be given by hand as well",
    **dict.fromkeys(
        ("ContainerStarted", "ContainerStopped", "ContainerRemoved", "ImagePulled"),
        "for the audit alone: what there is, the engine says as it is now",
    ),
    "EventSkipped": "says what a view leaves out; whoever builds one reads the stream before",
    "MarginRefused": "changes nothing; it is the answer to the request before it",
}


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was stored in its time."""

    schema_version: int
    data: msgspec.Raw


def samples(type_: str) -> list[Sample]:
    return msgspec.json.decode((GOLDEN / f"{type_}.json").read_bytes(), type=list[Sample])


@pytest.mark.parametrize("type_", TYPES)
def test_every_sample_can_be_read_for_ever(type_):
    for sample in samples(type_):
        event = decode(type_, sample.schema_version, bytes(sample.data))
        assert type_of(event) == type_
        assert decode(type_, event.schema_version, encode(event)) == event


@pytest.mark.parametrize("type_", TYPES)
def test_every_shape_of_a_type_has_a_sample(type_):
    assert {sample.schema_version for sample in samples(type_)} == set(range(1, TYPES[type_].schema_version + 1))


@pytest.mark.parametrize("type_", TYPES)
def test_today_s_shape_is_stored_as_its_newest_sample_says(type_):
    newest = samples(type_)[-1]
    event = decode(type_, newest.schema_version, bytes(newest.data))
    assert json.loads(encode(event)) == json.loads(bytes(newest.data))


def test_no_type_that_was_ever_stored_is_gone():
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(TYPES)


def test_every_step_of_an_upcaster_leads_to_a_shape_that_is_there():
    steps = {(type_, version) for type_, event in TYPES.items() for version in range(1, event.schema_version)}
    assert set(UPCASTERS) == steps


def test_every_type_is_shown_by_a_view_or_named_as_unviewed():
    shown = {event.__name__ for view in VIEWS for event in view.handles}
    assert not shown & set(UNVIEWED)
    assert shown | set(UNVIEWED) == set(TYPES)
