"""Ids that come in the order of time."""

import time
from uuid import RFC_4122

from adapters.ids import time_ordered


def test_ids_of_later_milliseconds_come_later():
    ids = []
    for _ in range(5):
        ids.append(time_ordered())
        made_at = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == made_at:  # until the next millisecond
            pass
    assert ids == sorted(ids)
    assert [made.hex for made in ids] == sorted(made.hex for made in ids)


def test_an_id_is_a_uuid_of_version_7_that_says_when_it_was_made():
    before = time.time_ns() // 1_000_000
    made = time_ordered()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_no_two_ids_are_the_same():
    ids = [time_ordered() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    everywhere, somewhere = ids[0].int, ids[0].int
    for made in ids:
        everywhere &= made.int
        somewhere |= made.int
    chance = (somewhere & ~everywhere) & ((1 << 80) - 1)
    assert chance.bit_count() == 74  # every bit that is not said by the version is one sometimes, and sometimes not
