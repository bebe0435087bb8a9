"""What lists are made of."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from projections.paging import iso


@given(st.datetimes(timezones=st.sampled_from((UTC, ZoneInfo("UTC")))))
def test_a_time_is_written_as_python_writes_it(at: datetime):
    assert iso(at) == at.isoformat()
