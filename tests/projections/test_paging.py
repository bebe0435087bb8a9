"""What lists are made of."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from projections.paging import iso


@given(st.datetimes(min_value=datetime(1970, 1, 1)), st.sampled_from((UTC, ZoneInfo("UTC"))))
def test_a_time_is_written_as_python_writes_it(naive: datetime, zone: ZoneInfo):
    assert iso(naive.replace(tzinfo=zone)) == naive.replace(tzinfo=UTC).isoformat()
