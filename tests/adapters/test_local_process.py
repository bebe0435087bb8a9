"""What a bot's process gets and does not get; how it lives is the port's suite."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from adapters import local_process
from adapters.local_process import ProcessRuntime
from domain.errors import Invalid, Unavailable
from tests.engine.places import PASSWORD, SCRIPT, ProcessPlace, end_all
from tests.ports.test_runtime import exited, name, started, until


@pytest.fixture
async def place(tmp_path):
    made = ProcessPlace(tmp_path)
    yield made
    await end_all(made.runtime)


def runtime(place, *command, **changes):
    given = {"bots": place.bots, "records": place.bots.parent / "others", "config_password": PASSWORD}
    return ProcessRuntime(command=command, **{**given, **changes})


async def test_a_process_stands_in_its_instance_s_folder_with_the_sources_beside_it(place):
    wish = place.prepare(name())
    made = await place.runtime.start(wish)
    (start,) = await started(place, wish.instance)
    assert start["folder"] == str(place.bots / "instances" / wish.instance)
    assert (place.bots / "instances" / wish.instance / "scripts" / "obey.py").is_file()
    assert os.getsid(start["pid"]) == int(made.runtime_id) != os.getsid(0)


async def test_what_the_server_knows_is_not_passed_on(place):
    wish = place.prepare(name())
    await place.runtime.start(wish)
    (start,) = await started(place, wish.instance)
    environment = {
        key: value for key, value in start["environment"].items() if key not in {"PWD", "OLDPWD", "_", "SHLVL"}
    }
    assert environment.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python's own.
    assert environment == {
        "PATH": "/usr/bin:/bin",
        "CONFIG_PASSWORD": PASSWORD,
        "SCRIPT_CONFIG": SCRIPT,
        "HEADLESS_MODE": "true",
    }


async def test_a_bot_whose_shell_was_killed_still_runs_and_is_not_started_twice(place):
    wish = place.prepare(name())
    await place.runtime.start(wish)
    (start,) = await started(place, wish.instance)
    status = Path(f"/proc/{start['pid']}/status").read_text()
    (parent,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    os.kill(parent, signal.SIGKILL)
    assert (await place.again().instances())[wish.instance].state == "running"
    await place.again().start(wish)
    assert len(await place.starts(wish.instance)) == 1
    assert await place.runtime.stop(wish.instance, 20) is None  # Who would have told is gone.
    assert (await place.runtime.instances())[wish.instance].state == "exited"


async def test_a_power_cut_leaves_nothing_that_runs(place):
    wish = place.prepare(name())
    made = await place.runtime.start(wish)
    await started(place, wish.instance)
    os.killpg(int(made.runtime_id), signal.SIGKILL)
    assert (await exited(place, wish.instance)).exit_code is None
    await place.again().start(wish)
    assert len(await started(place, wish.instance, 2)) == 2


async def test_errors_of_the_program_are_in_the_instance_s_log(place):
    wish = place.prepare(name())
    other = runtime(place, "/bin/sh", "-c", "echo it went wrong >&2; exit 7")
    await other.start(wish)
    found = await until(other.instances, lambda all_: all_[wish.instance].state == "exited")
    assert found[wish.instance].exit_code == 7
    log = place.bots / "instances" / wish.instance / "logs" / "errors.log"
    assert log.read_text() == "it went wrong\n"


async def test_errors_of_a_program_that_runs_are_cut_to_the_newest_ones(place, monkeypatch):
    monkeypatch.setattr(local_process, "ERRORS_BYTES", 1000)
    wish = place.prepare(name())
    log = place.bots / "instances" / wish.instance / "logs" / "errors.log"
    go_on = place.bots / "go on"
    lines = "i=0; while [ $i -lt 100 ]; do echo line $i >&2; i=$((i+1)); done"  # 790 bytes
    waits = f"{lines}; {lines}; while ! [ -e '{go_on}' ]; do sleep 0.01; done; echo the last >&2"
    other = runtime(place, "/bin/sh", "-c", waits)
    await other.start(wish)
    await until(lambda: asyncio.to_thread(log.stat), lambda found: found.st_size == 2 * 790)
    await other.instances()
    kept = [f"line {number}" for number in range(100 - len(log.read_text().splitlines()), 100)]
    assert log.read_text().splitlines() == kept
    assert 450 < log.stat().st_size <= 500
    go_on.touch()
    await until(other.instances, lambda all_: all_[wish.instance].state == "exited")
    assert log.read_text().splitlines() == [*kept, "the last"]


async def test_nothing_of_the_server_s_is_left_in_the_folder_to_be_put_away(place):
    wish = place.prepare(name(), crash=0)
    await place.runtime.start(wish)
    await exited(place, wish.instance)
    await place.runtime.collect(wish.instance)
    folder = place.bots / "instances" / wish.instance
    assert {path.name for path in folder.iterdir()} == {"conf", "data", "logs"}
    await place.runtime.start(wish)
    assert (folder / "scripts").is_symlink()
    await exited(place, wish.instance)


async def test_records_can_be_read_by_their_owner_alone(place):
    await place.runtime.start(place.prepare(name()))
    assert (place.bots.parent / "records").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("command", "words"), [([], "BOT_COMMAND"), (["/no/such/program"], "/no/such/program")])
async def test_a_program_that_is_not_there_is_named(place, command, words):
    missing = runtime(place, *command)
    with pytest.raises(Invalid, match=words):
        await missing.check("any/image:1")
    with pytest.raises(Invalid, match=words):
        await missing.start(place.prepare(name()))
    assert await missing.instances() == {}


async def test_an_instance_without_a_folder_is_refused(place):
    wish = place.prepare(name())
    lost = runtime(place, "/bin/true", bots=place.bots.parent / "elsewhere")
    with pytest.raises(Invalid, match="no folder"):
        await lost.start(wish)


async def test_records_that_cannot_be_written_are_unavailable(place):
    (place.bots.parent / "full").touch()
    full = runtime(place, "/bin/true", records=place.bots.parent / "full")
    for refused in (full.start(place.prepare(name())), full.instances(), full.stop("any", 1), full.remove("any")):
        with pytest.raises(Unavailable, match="full"):
            await refused


async def test_a_bot_whose_record_is_gone_counts_as_running_and_not_as_stopped(place):
    wish = place.prepare(name())
    made = await place.runtime.start(wish)
    await started(place, wish.instance)
    (place.bots.parent / "records" / f"{wish.instance}.session").unlink()
    with pytest.raises(Unavailable, match=f"Instance '{wish.instance}' runs"):
        await place.runtime.stop(wish.instance, 1)
    assert (await place.runtime.instances())[wish.instance].state == "running"
    os.killpg(int(made.runtime_id), signal.SIGKILL)
    await exited(place, wish.instance)


def test_what_cannot_be_written_down_is_not_started(tmp_path):
    (tmp_path / "logs").mkdir()
    begun = subprocess.run(
        ["/bin/sh", "-c", local_process._SHELL, str(tmp_path / "missing" / "x"), "/bin/true"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert begun.returncode == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "logs"]
