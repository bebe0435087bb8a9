"""Controllers and scripts are taken out of a folder or an image into the log, each as it stands there."""

import argparse
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from rich.console import Console

from adapters import __main__ as command_line
from adapters.database import described
from adapters.docker import Connection, Images
from adapters.docker.copies import files_of
from adapters.settings import Settings
from adapters.strategy_imports import ACTOR, FOLDERS, ROOT, files_in, import_command, sort, wanted
from commands.ports import Log
from domain.errors import Invalid, Unavailable
from domain.strategies import SOURCE_BYTES, ControllerSaved, ScriptSaved
from tests.commands.world import T0
from tests.engine import Engine

FILES = {
    "controllers/generic/grid.py": b"a = 1\n",
    "controllers/generic/packed/packed.py": "é = 1\n".encode(),
    "controllers/generic/packed/__init__.py": b"",
    "controllers/generic/packed/parts.py": b"",
    "controllers/generic/README.md": b"# No",
    "controllers/generic/latin.py": b"\xe9 = 1\n",
    "controllers/generic/nul.py": b"a\0",
    "controllers/generic/long.py": b"#" * (SOURCE_BYTES + 1),
    "controllers/progressive_trading/gain.py": b"",
    "controllers/__init__.py": b"",
    "controllers/no_type.py": b"",
    "scripts/watch.py": b"w = 1\n",
    "scripts/a name.py": b"",
    "scripts/community/far.py": b"",
}
MISPLACED = "is not where strategies are: scripts/<name>.py, controllers/<type>/<name>.py"
KEPT = ["controllers/generic/grid.py", "controllers/generic/packed/packed.py", "scripts/watch.py"]
SKIPPED = {
    "controllers/generic/latin.py": "is not UTF-8 text",
    "controllers/generic/long.py": f"has more than {SOURCE_BYTES} bytes",
    "controllers/generic/nul.py": "Controller 'nul' is no text: line 1 holds the control character 0",
    "controllers/generic/packed/parts.py": MISPLACED,
    "controllers/no_type.py": MISPLACED,
    "controllers/progressive_trading/gain.py": (
        "'progressive_trading' is no type of controllers: those are directional_trading, market_making, generic"
    ),
    "scripts/a name.py": "Invalid script name: 'a name'.",
    "scripts/community/far.py": MISPLACED,
}


@pytest.fixture
def folder(tmp_path):
    for path, content in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path


async def imported(database_url, files):
    output = io.StringIO()
    code = await import_command(database_url, files, Console(file=output, width=200))
    return code, output.getvalue()


async def test_a_folder_s_strategies_are_taken_and_all_else_is_named(folder, database_url: str, log: Log):
    code, printed = await imported(database_url, files_in(folder))
    assert code == 0
    lines = printed.splitlines()
    assert [line for line in lines if line.startswith("new")] == [f"new       {path}" for path in KEPT]
    for path, why in SKIPPED.items():
        assert any(line.startswith(f"skipped   {path}: {why}") for line in lines), path
    assert lines[-1] == f"3 new, 0 changed, 0 unchanged, {len(SKIPPED)} skipped"
    recorded = await log.page(0, 100)
    assert [event.event for event in recorded] == [
        ControllerSaved(type="generic", name="grid", source="a = 1\n"),
        ControllerSaved(type="generic", name="packed", source="é = 1\n"),
        ScriptSaved(name="watch", source="w = 1\n"),
    ]
    assert {event.actor for event in recorded} == {ACTOR}
    assert len({event.correlation_id for event in recorded}) == 1


async def test_what_is_the_same_is_not_saved_again(folder, database_url: str, log: Log):
    await imported(database_url, files_in(folder))
    (folder / "scripts/watch.py").write_text("w = 2\n")
    _, printed = await imported(database_url, files_in(folder))
    assert "changed   scripts/watch.py\n" in printed
    assert "0 new, 1 changed, 2 unchanged" in printed
    assert len(await log.page(0, 100)) == 4
    _, printed = await imported(database_url, files_in(folder))
    assert "0 new, 0 changed, 3 unchanged" in printed
    assert len(await log.page(0, 100)) == 4


async def test_it_is_said_into_which_database_strategies_go_and_whether_it_is_new(
    folder, empty_database_url: str, capsys: pytest.CaptureFixture[str]
):
    settings = Settings.from_environment({"DATABASE_URL": empty_database_url})
    wanted = argparse.Namespace(folder=folder, image=None)
    name = urlsplit(empty_database_url).path.removeprefix("/")
    for is_new in (True, False):
        assert await command_line._import_strategies(wanted, settings) == 0
        (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Importing into ")]
        assert f"the database '{name}' at " in said
        assert said.endswith(", which is new") == is_new


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://bob:secret@db.example:6432/trades", "the database 'trades' at db.example:6432"),
        ("postgresql://bob:secret@db.example", "the database 'bob' at db.example:5432"),
        ("postgresql:///trades", "the database 'trades' at the local socket"),
    ],
    ids=["all", "defaults", "socket"],
)
def test_a_database_is_described_without_its_password(url, words):
    assert described(Settings.from_environment({"DATABASE_URL": url})) == words


def test_a_private_database_is_described_by_its_folder(tmp_path):
    assert (
        described(Settings.from_environment({"NECTAR_DATA": str(tmp_path)})) == f"the private database of '{tmp_path}'"
    )


async def test_a_folder_with_nothing_in_it_is_said_to_have_nothing(tmp_path, database_url: str, log: Log):
    with pytest.raises(Invalid, match="neither a folder 'controllers' nor a folder 'scripts'"):
        files_in(tmp_path)
    (tmp_path / "scripts").mkdir()
    assert await imported(database_url, files_in(tmp_path)) == (1, "0 new, 0 changed, 0 unchanged, 0 skipped\n")
    assert await log.position() == 0


def test_no_link_is_followed_out_of_the_folder(tmp_path):
    (tmp_path / "outside" / "generic").mkdir(parents=True)
    (tmp_path / "outside" / "generic" / "secret.py").write_text("password = 1\n")
    folder = tmp_path / "folder"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "within.py").write_text("a = 1\n")
    (folder / "scripts" / "again.py").symlink_to("within.py")
    (folder / "scripts" / "file.py").symlink_to(tmp_path / "outside" / "generic" / "secret.py")
    (folder / "scripts" / "nowhere.py").symlink_to(tmp_path / "nothing.py")
    (folder / "controllers").symlink_to(tmp_path / "outside")
    found = sort(files_in(folder))
    assert {strategy.path: strategy.source for strategy in found.strategies} == {
        "scripts/again.py": "a = 1\n",
        "scripts/within.py": "a = 1\n",
    }
    assert found.skipped == dict.fromkeys(
        ["controllers/generic/secret.py", "scripts/file.py", "scripts/nowhere.py"],
        "is a link that leads out of the folder",
    )


def test_a_folder_that_is_a_link_itself_is_what_was_asked_for(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    assert files_in(link) == files_in(folder)
    assert None not in files_in(link).values()


def test_what_lies_elsewhere_is_no_strategy():
    found = sort({"controllers/x.py": b"", "other/x.py": b"", "scripts/../x.py": b"", "x.py": b""})
    assert found.strategies == []
    assert len(found.skipped) == 4


@contextmanager
def image_of(engine: Engine, folder: Path, path: str) -> Iterator[str]:
    """Make an image with a folder's files and nothing else: there is no program in it that could be run."""
    client, context = engine.client(), io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        dockerfile = f"FROM scratch\nCOPY files {path}\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile))
        tar.add(folder, arcname="files")
    context.seek(0)
    name = f"nectar/test-strategies:{uuid4().hex}"
    client.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
    try:
        yield name
    finally:
        client.images.remove(name, force=True)
        client.close()


async def copied(engine: Engine, image: str):
    connection = Connection(engine.url)
    images = Images(connection, clock=lambda: T0)
    try:
        return await files_of(
            connection, images, image, root=ROOT, folders=FOLDERS, wanted=wanted, most=SOURCE_BYTES + 1
        )
    finally:
        images.close()
        connection.close()


async def test_an_image_has_the_files_that_its_folder_had_and_leaves_no_container(docker_engine: Engine, folder):
    client = docker_engine.client()
    with image_of(docker_engine, folder, ROOT) as image:
        assert await copied(docker_engine, image) == files_in(folder)
        assert client.containers.list(all=True, filters={"ancestor": image}) == []
    client.close()


async def test_an_image_without_such_folders_has_no_files(docker_engine: Engine, folder):
    with image_of(docker_engine, folder, "/elsewhere") as image:
        assert await copied(docker_engine, image) == {}


async def test_an_image_that_is_not_to_be_had_is_named(docker_engine: Engine):
    with pytest.raises((Invalid, Unavailable), match="nectar/nowhere"):
        await copied(docker_engine, "127.0.0.1:9/nectar/nowhere:1")


async def test_without_an_engine_it_is_said_where_none_answers(tmp_path):
    with pytest.raises(Unavailable, match="No Docker engine answers at"):
        await copied(Engine(f"unix://{tmp_path}/nobody.sock", own=False), "x")
