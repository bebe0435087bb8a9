"""Folders of tables in the making: gone with their answer, and those of a server that was killed at the next start."""

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.tables import Tables

KILLED = """
from adapters.tables import Tables
with Tables().parquet() as table:
    table.add([{"number": 1}])
    table._put_aside()
    print("written", flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files, empty."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_what_a_killed_server_left_is_removed_at_the_next_start(temporary: Path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "written\n"
        (folder,) = temporary.glob("nectar-table-*")
        Tables()
        assert [file.name for file in folder.iterdir()] == ["0"]  # it lives, and writes
        server.kill()
    assert folder.exists()
    Tables()
    assert not folder.exists()


def test_a_table_leaves_nothing_behind_and_a_start_leaves_it_alone(temporary: Path):
    with Tables().parquet() as table:
        table.add([{"number": 1}])
        Tables()
        assert b"".join(table.content())[:4] == b"PAR1"
    assert list(temporary.iterdir()) == []


def test_what_only_has_the_name_is_left_alone(temporary: Path):
    (temporary / "elsewhere").mkdir()
    (temporary / "nectar-table-link").symlink_to(temporary / "elsewhere")
    (temporary / "nectar-table-file").write_text("")
    Tables()
    assert len(list(temporary.iterdir())) == 3
