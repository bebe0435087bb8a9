"""Delete archives of bots."""

import msgspec
from litestar import Controller, delete
from litestar.di import NamedDependency
from litestar.params import FromPath

from adapters.http.answers import Answer
from adapters.http.requests import Request
from adapters.http.slashes import slashed
from commands.archives import DeleteArchive
from write_api.writing import Writes, answer, answers


class DeletedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says which archive is gone, and how many runs of its bot are not shown any more."""

    message: str
    bot_name: str
    bot_runs_deleted: int


class ArchiveWrites(Controller):
    """Archived bots, as their owner clears them away."""

    path = "/archived-bots"
    tags = ("Archived bots",)

    @delete("/{db_path:str}", status_code=200, summary="Delete an archive", responses=answers(DeletedAnswer, 200))
    async def remove(self, request: Request, db_path: FromPath[str], writes: NamedDependency[Writes]) -> Answer:
        """Delete the files of the archive that a database belongs to; figures go without it, the log keeps it."""
        outcome = await writes.dispatch(DeleteArchive(path=slashed(db_path)), request)
        gone = DeletedAnswer(
            message=f"Archived bot '{outcome.result.bot}' deleted successfully",
            bot_name=outcome.result.bot,
            bot_runs_deleted=outcome.result.runs,
        )
        return answer(200, gone, outcome.position)
