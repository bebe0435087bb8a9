"""How far each view is."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from adapters.http.answers import Answer
from adapters.http.as_of import never_recorded
from adapters.http.bodies import encode
from projections.standing import ViewStanding, standings
from projections.views import VIEWS
from read_api.pages import described
from read_api.settle import Reads


class Projections(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log ends, and how far each view is."""

    position: int
    views: list[ViewStanding]


class ProjectionReads(Controller):
    """The views themselves. Answers while the server starts, too: that is when they are built."""

    path = "/system/projections"
    tags = ("System",)

    @get(
        "/",
        status_code=200,
        summary="Say how far each view is",
        opt=never_recorded("how far the views have come"),
        responses=described(Projections, "Views with their lag, their failure and the progress of their rebuild"),
    )
    async def projections(self, reads: NamedDependency[Reads]) -> Answer:
        """Answer for all views, in the order in which they are listed in the program."""
        async with reads.today() as connection:
            position, views = await standings(connection, VIEWS, reads.progress)
        return Answer(200, encode(Projections(position=position, views=views)))
