"""Log lines to stdout: JSON, or coloured text where somebody reads along in a terminal.

Everything goes one way, the lines of libraries too: those from warning on, as the event `library_said`. There are no
access lines of uvicorn; the request lines of our own hold neither queries nor headers.
"""

import asyncio
import atexit
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import BinaryIO

import msgspec
import structlog
from structlog.typing import Processor

_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(level: str, *, terminal: bool | None = None) -> None:
    """Send all log lines from `level` on to stdout. `terminal` None: as stdout is one or not.

    Called once, at start: loggers keep what they find at their first line.
    """
    if terminal is None:
        terminal = sys.stdout.isatty()
    lines = _Lines(sys.stdout.buffer)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *(_for_a_terminal() if terminal else [_for_a_machine])],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory() if terminal else lambda: lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    logging.captureWarnings(capture=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
    logging.getLogger("uvicorn.access").disabled = True


def _for_a_terminal() -> list[Processor]:
    # A traceback that shows the values of variables shows passwords.
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_a_machine(logger: object, method: str, line: MutableMapping[str, object]) -> bytes:
    line["level"] = "error" if method == "exception" else method
    line["timestamp"] = datetime.now(UTC)
    if "exc_info" in line:
        structlog.processors.format_exc_info(logger, method, line)
    return _encoder.encode(line)


_encoder = msgspec.json.Encoder(enc_hook=repr)


class _Lines:
    """Writes lines to a file, those of one turn of the event loop with one call.

    A server under load writes thousands of lines a second, and a system call for each would cost more than the line.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held: list[bytes] = []
        self._lock = threading.Lock()  # a thread may write while the loop does
        atexit.register(self._write)

    def msg(self, line: bytes) -> None:
        """Write a line at the end of the loop's turn, or at once where no loop runs."""
        with self._lock:
            self._held.append(line)
            if len(self._held) > 1:
                return  # whoever put the first one there writes this one too
        try:
            asyncio.get_running_loop().call_soon(self._write)
        except RuntimeError:
            self._write()

    debug = info = warning = error = exception = log = msg

    def _write(self) -> None:
        with self._lock:
            if self._held and not self._file.closed:  # at exit, whoever gave it may have closed it
                self._file.write(b"\n".join((*self._held, b"")))
                self._file.flush()
                self._held.clear()


class _Forward(logging.Handler):
    """Give the lines of libraries to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            max(record.levelno, logging.DEBUG),
            "library_said",
            library=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )
