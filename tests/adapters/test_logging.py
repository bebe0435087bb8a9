"""Each case in a process of its own: logging is configured once in a process."""

import subprocess
import sys
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]


def logged(code: str, *, terminal: bool = False, level: str = "info") -> list[str]:
    script = (
        "import logging, warnings, structlog\nfrom adapters.logging import configure\n"
        f"configure({level!r}, terminal={terminal})\nlogger = structlog.get_logger()\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.splitlines()


def test_a_line_is_one_json_object_with_values_as_they_are():
    [line] = logged(
        "import uuid, decimal\n"
        "logger.info('command_done', position=7, ms=1.5, id=uuid.UUID(int=1), n=decimal.Decimal('0.10'), t=(1,), o=int)"
    )
    said = msgspec.json.decode(line, type=dict[str, object])
    assert said.pop("timestamp")
    assert said == {
        "event": "command_done",
        "level": "info",
        "position": 7,
        "ms": 1.5,
        "id": "00000000-0000-0000-0000-000000000001",
        "n": "0.10",
        "t": [1],
        "o": "<class 'int'>",
    }


def test_what_is_bound_at_the_edge_is_in_every_line():
    [line] = logged("structlog.contextvars.bind_contextvars(actor='ann'); logger.info('command_done')")
    assert msgspec.json.decode(line)["actor"] == "ann"


def test_a_level_leaves_out_what_is_below_it():
    assert not logged("logger.info('quiet')", level="warning")
    assert len(logged("logger.debug('loud')", level="debug")) == 1


def test_libraries_speak_through_the_same_lines():
    [line, warned] = logged(
        "logging.getLogger('uvicorn.error').info('Started'); logging.getLogger('uvicorn.error').error('Oh %s', 'no')\n"
        "logging.getLogger('uvicorn.access').error('GET /?token=hunter2'); warnings.warn('old')"
    )
    assert {"event": "library_said", "library": "uvicorn.error", "message": "Oh no"}.items() <= msgspec.json.decode(
        line
    ).items()
    assert "old" in msgspec.json.decode(warned)["message"]


FAILING = """
def fail():
    password = 'hunter' + '2'
    raise ValueError('it failed')
try:
    fail()
except ValueError:
    logger.exception('request_failed')
"""


def test_a_traceback_is_in_the_line_without_the_values_of_variables():
    [line] = logged(FAILING)
    assert "ValueError: it failed" in msgspec.json.decode(line)["exception"]
    assert "hunter2" not in line
    text = "\n".join(logged(FAILING, terminal=True))
    assert "ValueError: it failed" in text
    assert "hunter2" not in text


def test_a_terminal_gets_text():
    [line] = logged("logger.info('command_done', position=7)", terminal=True)
    assert not line.startswith("{")
    assert "command_done" in line


def test_lines_come_in_order_and_none_is_left_behind_whoever_wrote_them():
    lines = logged(
        "import asyncio\n"
        "async def work():\n"
        "    logger.info('first'); logger.info('second')\n"
        "    await asyncio.sleep(0)\n"
        "    await asyncio.to_thread(logger.info, 'third')\n"
        "    logger.info('fourth')\n"
        "asyncio.run(work())\n"
        "logger.info('fifth')"
    )
    assert [msgspec.json.decode(line)["event"] for line in lines] == ["first", "second", "third", "fourth", "fifth"]


def test_the_lines_of_one_turn_of_the_loop_are_written_together():
    script = (
        "import asyncio, sys\n"
        "class Counting:\n"
        "    closed = False\n"
        "    def __init__(self, file): self.file, self.writes = file, 0\n"
        "    def write(self, data): self.writes += 1; return self.file.write(data)\n"
        "    def flush(self): self.file.flush()\n"
        "class Out:\n"
        "    buffer = Counting(sys.stdout.buffer)\n"
        "    def isatty(self): return False\n"
        "    def flush(self): pass\n"
        "sys.stdout = Out()\n"
        "import structlog\nfrom adapters.logging import configure\nconfigure('info')\nlogger = structlog.get_logger()\n"
        "async def work():\n"
        "    for n in range(100): logger.info('said', n=n)\n"
        "asyncio.run(work())\n"
        "sys.stderr.write(str(Out.buffer.writes))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "1"
    assert len(done.stdout.splitlines()) == 100
