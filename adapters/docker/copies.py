"""Files out of an image: a container is made of it, never started, and removed again."""

import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, BinaryIO, cast

import docker
from docker.errors import NotFound

from adapters.docker.bundles import Stream
from adapters.docker.connection import Connection
from adapters.docker.images import Images

Wanted = Callable[[str], bool]
"""Whether a file is wanted, by its path below the root."""


async def files_of(
    connection: Connection, images: Images, image: str, *, root: str, folders: Iterable[str], wanted: Wanted, most: int
) -> dict[str, bytes]:
    """Return path below `root` → content of the wanted files in folders of an image, which is pulled if need be.

    Of each file, at most so many bytes. A folder that the image does not have has no files. Raises `Invalid` for an
    image that is not to be had, `Unavailable` where no engine answers.
    """
    await images.have(image)

    def work(client: docker.APIClient) -> dict[str, bytes]:
        # The command is never run; without one the engine refuses an image that has none of its own.
        container = client.create_container(image, command=["true"], network_disabled=True)["Id"]
        try:
            return {
                path: file.read(most)
                for folder in folders
                for path, file in _files(client, container, f"{root}/{folder}")
                if wanted(path)
            }
        finally:
            client.remove_container(container, force=True, v=True)

    return await connection.ask(f"Image '{image}'", work, long=True)


def _files(client: docker.APIClient, container: str, folder: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield path and content of each file in a folder, to be read before the next one is asked for."""
    try:
        pieces, _ = client.get_archive(container, folder)
    except NotFound:
        return
    with tarfile.open(fileobj=cast("BinaryIO", Stream(pieces)), mode="r|") as tar:
        for member in tar:
            if member.isfile() and (file := tar.extractfile(member)) is not None:
                yield member.name, file
