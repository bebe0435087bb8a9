"""What was found when accounts were compared with their venues."""

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from adapters.http.answers import Answer
from adapters.http.requests import Request
from projections import reconciliation
from projections.reconciliation import DifferenceItem, RunItem
from read_api.pages import Pagination, described, items_answer, number_of
from read_api.settle import Reads

_VIEW = "reconciliation"

# The framework takes the bounds of a parameter from here only.
Name = Annotated[str | None, QueryParameter(max_length=64)]
Cursor = Annotated[str | None, QueryParameter(max_length=256)]
Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


class Run(RunItem, frozen=True, kw_only=True):
    """A comparison with the differences it found: what the log said, and what it says since, as the venue does."""

    differences: list[DifferenceItem]


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of comparisons."""

    data: list[Run]
    pagination: Pagination


class Reconciliation(Controller):
    """Comparisons with venues."""

    path = "/audit/reconciliation"
    tags = ("Audit",)

    @get(
        "/",
        status_code=200,
        summary="Read what reconciliation found",
        responses=described(RunsPage, "Comparisons with their differences, newest first"),
    )
    async def runs(
        self,
        *,
        request: Request,
        reads: NamedDependency[Reads],
        account_name: Name = None,
        connector_name: Name = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Answer:
        """Answer the last comparisons of all accounts, or of those asked for, newest first."""
        headers = await reads.settle(request, _VIEW)
        async with reads.connection(request) as connection:
            found = await reconciliation.runs(
                connection,
                limit=limit + 1,
                before=number_of(cursor),
                account=account_name,
                connector=connector_name,
            )
        more = str(found[limit - 1][0]) if len(found) > limit else None
        items = [item for _, item in found[:limit]]
        return items_answer(items, limit=limit, cursor=more, total=None, headers=headers)
