import json
import os
import signal
import sys
from asyncio import subprocess
from pathlib import Path

import ccxt.pro as ccxt
import pytest

from tests.venues.ccxt_clients import trading_on
from tests.venues.floor import Floor
from tests.venues.serving import running_venue

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def venue():
    """A venue in the test's own loop: prices stand until the test moves them, alice and bob have accounts."""
    floor = Floor(seed=1)
    floor.open_account("alice")
    floor.open_account("bob")
    async with running_venue(floor) as running:
        yield running


@pytest.fixture
async def spot(venue):
    config = {"options": {"fetchMarkets": {"types": ["spot"]}}}
    async with trading_on(venue, "binance", ccxt.binance, **config) as client:
        yield client


@pytest.fixture
async def futures(venue):
    async with trading_on(venue, "binance_perpetual", ccxt.binanceusdm) as client:
        yield client


@pytest.fixture
async def process(tmp_path):
    """A venue in a process of its own: where it listens, alice's keys, and its URLs."""
    urls = tmp_path / "urls.json"
    arguments = ["-m", "tests.venues", "--urls", str(urls), "--accounts", "alice", "--fixed"]
    running = await subprocess.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert running.stdout is not None
    said = json.loads(await running.stdout.readline())
    try:
        yield said["listening"], said["keys"][0], json.loads(urls.read_text())
    finally:
        running.send_signal(signal.SIGTERM)
        await running.wait()
