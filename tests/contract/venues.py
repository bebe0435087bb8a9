"""The test venue in a process of its own, started as the README says."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.contract.serving import until
from tests.venues.floor import Keys

COMMAND = ".venv/bin/python -m tests.venues --port 8900 --urls venue_urls.json"
"""What the README says to type."""

_ROOT = Path(__file__).parents[2]


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    """A venue that listens. `urls` is the file for `VENUE_URLS`; `keys` are those of its accounts."""

    address: str
    urls: Path
    keys: list[Keys]


@contextmanager
def running(folder: Path, *, accounts: str = "main", fixed: bool = True) -> Iterator[Venue]:
    """Run the README's command on a port that is free, its prices standing if they are to be `fixed`."""
    urls, printed = folder / "venue_urls.json", folder / "venue.log"
    command = [sys.executable, *shlex.split(COMMAND)[1:], "--accounts", accounts, *(["--fixed"] if fixed else [])]
    command[command.index("--port") + 1] = "0"
    command[command.index("--urls") + 1] = str(urls)
    with printed.open("wb") as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output)
    try:

        def line() -> str:
            assert process.poll() is None, f"the venue ended with {process.returncode}"
            text = printed.read_text(encoding="utf-8")
            return text if text.endswith("\n") else ""

        said = json.loads(until(line))
        keys = msgspec.convert(said["keys"], list[Keys])
        yield Venue(address=said["listening"], urls=urls, keys=keys)
    finally:
        process.terminate()
        process.wait(10)
