"""Our bot as a process of this machine, in an instance folder made for it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).parent / "bot.py"
CONTROLLERS = ("pmm_spot_sol", "pmm_perp_btc")


def write_instance(folder: Path, instance: str, port: int, controllers: tuple[str, ...] = CONTROLLERS) -> None:
    """Write what the bot reads; JSON is YAML, too."""
    files: dict[str, Mapping[str, object]] = {
        "conf_client.yml": {
            "instance_id": instance,
            "mqtt_bridge": {
                "mqtt_host": "127.0.0.1",
                "mqtt_port": port,
                "mqtt_username": "",
                "mqtt_password": "",
                "mqtt_namespace": "hbot",
            },
        },
        f"scripts/{instance}.yml": {
            "script_file_name": "v2_with_controllers.py",
            "controllers_config": [f"{name}.yml" for name in controllers],
        },
    }
    for name in controllers:
        files[f"controllers/{name}.yml"] = {
            "id": name,
            "controller_name": "pmm_simple",
            "connector_name": "binance",
            "trading_pair": "SOL-USDT",
            "manual_kill_switch": False,
        }
    for name, content in files.items():
        path = folder / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def bot(folder: Path, instance: str, port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a bot against a broker; `environment` is its pace."""
    write_instance(folder, instance, port)
    pace = {"BOT_REPORT_SECONDS": "0.2", "BOT_HEARTBEAT_SECONDS": "0.2", "BOT_WIND_DOWN_SECONDS": "0.3"}
    process = subprocess.Popen(
        [sys.executable, PROGRAM],
        cwd=folder,
        env={**os.environ, "SCRIPT_CONFIG": f"{instance}.yml", "CONFIG_PASSWORD": "a", **pace, **environment},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
