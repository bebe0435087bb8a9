"""A bot that somebody wants, its keys, and the folders that hold such bots, for tests of bots' files."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eth_keyfile.keyfile import decode_keyfile_json

from adapters.bot_files import S3, BotFolders, BrokerAddress
from adapters.exchanges.names import connector
from domain.bots import BotDeployed
from domain.connectors import ConfigField

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
PASSWORD = "correct-horse-7f21"
BROKER = BrokerAddress(host="broker.local", port=1884, username="bots", password="broker-word-93ab")
KEYS: dict[str, dict[str, object]] = {
    "binance": {"binance_api_key": "key-44c1", "binance_api_secret": "secret-ü-9d02"},
    "hyperliquid_perpetual": {
        "hyperliquid_perpetual_mode": "api_wallet",
        "use_vault": False,
        "hyperliquid_perpetual_address": "address-71be",
        "hyperliquid_perpetual_secret_key": "phrase-5a60",
    },
}
SECRETS = ("key-44c1", "secret-ü-9d02", "address-71be", "phrase-5a60", PASSWORD, "broker-word-93ab")
SOURCES = {"scripts/v2_with_controllers.py": "print('script')\n", "controllers/generic/pmm.py": "print('pmm')\n"}
CONFIGS = {"scripts/alpha.yml": "script_file_name: v2_with_controllers.py\n", "controllers/pmm_1.yml": "id: pmm_1\n"}


def deployed(instance: str = "alpha", configs: Mapping[str, str] = CONFIGS) -> BotDeployed:
    return BotDeployed(
        instance=instance,
        account="master_account",
        image="hummingbot/hummingbot:latest",
        strategy_type="controller",
        strategy_name="v2_with_controllers",
        script_config="alpha.yml",
        configs=configs,
        deployed_at=AT,
    )


def fields_of(name: str) -> Mapping[str, ConfigField]:
    return connector(name).fields


def folders(root: Path, *, s3: S3 | None = None, rounds: int = 1) -> BotFolders:
    return BotFolders(root, broker=BROKER, config_password=PASSWORD, fields_of=fields_of, s3=s3, keyfile_rounds=rounds)


def decrypted(value: str, password: str = PASSWORD) -> str:
    keyfile: dict[str, Any] = json.loads(bytes.fromhex(value))
    return decode_keyfile_json(keyfile, password.encode()).decode()


def files_of(folder: Path) -> dict[str, bytes]:
    """Return path → content of the files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def modes_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}


def holds_keys(folder: Path) -> list[str]:
    """Return what below a folder is a key, opens one, or is the broker's password."""
    encrypted = b"kdfparams".hex().encode()
    return [
        path
        for path, content in files_of(folder).items()
        if {"connectors", "certs", ".password_verification"} & set(Path(path).parts)
        or encrypted in content
        or any(secret.encode() in content for secret in SECRETS)
    ]
