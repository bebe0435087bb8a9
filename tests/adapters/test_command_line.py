"""What a command answers when it cannot be carried out."""

import argparse

import pytest

from adapters import __main__ as command_line
from adapters.settings import Settings, WrongSetting
from adapters.turn import TurnLost


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    def fail_with(error: BaseException) -> None:
        async def serve(_: argparse.Namespace, __: Settings) -> int:
            raise error

        monkeypatch.setattr(command_line, "_serve", serve)
        monkeypatch.setattr(command_line, "configure", lambda _: None)  # the process is the tests'

    return fail_with


def test_a_refusal_is_one_line(failing, capsys: pytest.CaptureFixture[str]):
    failing(WrongSetting("PARTS", "x", "is none"))
    assert command_line.main(["serve"]) == 2
    assert capsys.readouterr().err == "nectar: Wrong setting PARTS: 'x' is none\n"


def test_a_refusal_out_of_several_tasks_is_one_line(failing, capsys: pytest.CaptureFixture[str]):
    failing(BaseExceptionGroup("tasks", [ExceptionGroup("inner", [TurnLost()]), TurnLost()]))
    assert command_line.main(["serve"]) == 2
    assert capsys.readouterr().err == f"nectar: {TurnLost()}\n"


def test_a_fault_of_ours_shows_where(failing):
    failing(ExceptionGroup("tasks", [TurnLost(), KeyError("x")]))
    with pytest.raises(ExceptionGroup):
        command_line.main(["serve"])


def test_the_settings_are_read_before_anything_is_done(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("ACCOUNT_UPDATE_INTERVAL", "soon")
    assert command_line.main(["serve"]) == 2
    assert "ACCOUNT_UPDATE_INTERVAL" in capsys.readouterr().err


@pytest.mark.parametrize("position", ["0", "-1", "first", "1.5", str(2**63)])
def test_what_is_skipped_is_a_position_of_the_log(position, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["skip", "--reason", "not ours", "--", "orders", position])
    assert ended.value.code == 2
    assert f"{position!r} is no position of the log" in capsys.readouterr().err


def test_nothing_is_skipped_without_a_reason(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command_line.main(["skip", "orders", "7"])
    assert "--reason" in capsys.readouterr().err
