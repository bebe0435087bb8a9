"""The README is a promise: what it says to type is typed here, line by line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.contract.serving import Nectar

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str, server: Nectar) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block.replace("http://127.0.0.1:8000", server.url) for block in found]


def test_the_quickstart_does_what_it_says(servers: Callable[..., Nectar]) -> None:
    server = servers()
    answers = []
    for block in blocks("bash", server):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    order, state, events = answers
    assert (order["status"], order["state"]) == ("submitted", "filled")
    held = {token["token"]: token["units"] for token in state["master_account"]["paper"]}
    assert held["BTC"] == 2.01
    assert held["USDT"] < 100_000
    assert {event["type"] for event in events["data"]} >= {"OrderPlaced", "OrderAccepted", "OrderFilled"}

    (program,) = blocks("python", server)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    resting, worth = done.stdout.splitlines()
    assert "'trading_pair': 'ETH-USDT'" in resting
    assert float(worth.removeprefix("worth: ")) > 100_000
