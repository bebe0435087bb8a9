"""Rows as Parquet, by polars, which is an optional part (`nectar[parquet]`)."""

import io
from collections.abc import Mapping, Sequence

from domain.errors import Invalid


class Tables:
    """The port `Tables` of reads."""

    def parquet(self, rows: Sequence[Mapping[str, object]]) -> bytes:
        """Return a Parquet file of rows. Raises `Invalid` where polars is not installed."""
        try:
            import polars as pl
        except ImportError as e:
            raise Invalid("Parquet needs an optional part: pip install 'nectar[parquet]'. CSV does not.") from e
        written = io.BytesIO()
        pl.DataFrame(list(rows), infer_schema_length=None).write_parquet(written)
        return written.getvalue()
