"""Log lines to stdout: JSON, or coloured text where somebody reads along in a terminal.

Everything goes one way, the lines of libraries too: those from warning on, as the event `library_said`. There are no
access lines of uvicorn; the request lines of our own hold neither queries nor headers.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping

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
    common: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    structlog.configure(
        processors=[*common, *(_for_a_terminal() if terminal else _for_a_machine())],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory() if terminal else structlog.BytesLoggerFactory(),
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
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


def _for_a_machine() -> list[Processor]:
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _encode,
    ]


def _encode(_logger: object, _method: str, line: MutableMapping[str, object]) -> bytes:
    return _encoder.encode(line)


_encoder = msgspec.json.Encoder(enc_hook=repr)


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
