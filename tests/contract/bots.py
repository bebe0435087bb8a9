"""A server whose bots are processes of this machine: our bot program, quick, on a real broker."""

import sys

from tests.bots.running import PROGRAM
from tests.broker import HOST, Mosquitto
from tests.contract.serving import Nectar

PACE = "BOT_REPORT_SECONDS=0.2 BOT_HEARTBEAT_SECONDS=0.2 BOT_WIND_DOWN_SECONDS=0.3"
PMM = {"id": "pmm", "controller_name": "pmm_simple", "controller_type": "market_making", "connector_name": "paper"}


def settings(broker: Mosquitto, *, limit_seconds: int) -> dict[str, str]:
    """Return what such a server is started with; a bot may take `limit_seconds` to say that it is flat."""
    return {
        "BROKER_HOST": HOST,
        "BROKER_PORT": str(broker.port),
        "BOT_RUNTIME": "process",
        "BOT_COMMAND": f"env {PACE} {sys.executable} {PROGRAM}",
        "BOT_STOP_TIMEOUT": str(limit_seconds),
    }


def save_strategies(server: Nectar) -> None:
    """Save a controller with a configuration `pmm`, and the script that runs controllers."""
    with server.client() as client:
        for path, body in (
            ("/scripts/v2_with_controllers", {"content": "X = 1\n"}),
            ("/controllers/market_making/pmm_simple", {"content": "X = 1\n"}),
            ("/controllers/configs/pmm", PMM),
        ):
            client.post(path, json=body).raise_for_status()
