"""Runs a test venue by itself: `python -m tests.venues --port 8900 --urls venue_urls.json`.

The file is what `VENUE_URLS` names. Once the venue listens it says so in one line, with the keys of its accounts.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from pathlib import Path

import msgspec

from adapters.exchanges.paper_feed import SyntheticFeed
from tests.venues.floor import Floor
from tests.venues.serving import running_venue


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.venues", description="Run a venue to test against.")
    parser.add_argument("--port", type=int, default=0, help="where to listen (0: any port that is free)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--urls", type=Path, required=True, help="the file to write the URLs to, for VENUE_URLS")
    parser.add_argument("--seed", type=int, default=1, help="of the keys, the levers and the moving market")
    parser.add_argument("--accounts", default="main", help="the accounts to open, by commas")
    parser.add_argument("--fixed", action="store_true", help="let prices stand until they are moved")
    parser.add_argument("--tick-seconds", type=float, default=0.25)
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    feed = None if arguments.fixed else SyntheticFeed(arguments.seed)
    floor = Floor(seed=arguments.seed, feed=feed)
    keys = [floor.open_account(account) for account in arguments.accounts.split(",")]
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stopped.set)
    async with running_venue(
        floor, host=arguments.host, port=arguments.port, tick_seconds=arguments.tick_seconds
    ) as venue:
        _write(arguments.urls, json.dumps(venue.urls, indent=2))
        print(json.dumps({"listening": venue.address, "keys": msgspec.to_builtins(keys)}), flush=True)  # noqa: T201 - what it is run for
        await stopped.wait()


def _write(file: Path, text: str) -> None:
    """Put a file in place whole: who waits for it to be there finds all of it."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))
