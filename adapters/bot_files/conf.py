"""What Hummingbot expects in `conf/`: how it finds the broker, what it logs, its keys (hummingbot 20260922).

Each setting that is not written here has a default in Hummingbot, which completes these files when it starts.
"""

import io
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from ruamel.yaml import YAML

from adapters.bot_files.keyfiles import Keyfiles
from domain.connectors import ConfigField

FieldsOf = Callable[[str], Mapping[str, ConfigField]]
"""Returns the fields that a connector's credentials have, by Hummingbot's names for them."""

CLIENT = "conf_client.yml"
FEES = "conf_fee_overrides.yml"
LOGS = "hummingbot_logs.yml"
PASSWORD = ".password_verification"  # noqa: S105 - the name of a file

# Hummingbot puts its own template in place of a file that is older. These are the versions of 20260922.
_FEES_VERSION = 14
_LOGS_VERSION = 12


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The broker as bots have to use it, which may differ from how we do."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False

    def __repr__(self) -> str:
        """Show where it is, never the password."""
        return f"BrokerAddress(host={self.host!r}, port={self.port}, username={self.username!r})"

    def without_password(self) -> "BrokerAddress":
        """Return where it is alone."""
        return msgspec.structs.replace(self, password=None)


def client(instance: str, broker: BrokerAddress, *, gateway: bool) -> bytes:
    """Return `conf_client.yml`. With `gateway`, the bot speaks TLS to it, with the certificate in its folder `certs`.

    Hummingbot's own servers are told nothing of the bot's errors and trades, which it would tell them by default.
    """
    settings: dict[str, Any] = {
        "instance_id": instance,
        "mqtt_bridge": {
            "mqtt_host": broker.host,
            "mqtt_port": broker.port,
            "mqtt_username": broker.username or "",
            "mqtt_password": broker.password or "",
            "mqtt_namespace": "hbot",
            "mqtt_ssl": broker.tls,
            "mqtt_logger": True,
            "mqtt_notifier": True,
            "mqtt_commands": True,
            "mqtt_events": True,
            "mqtt_external_events": True,
            "mqtt_autostart": True,
        },
        "send_error_logs": False,
        "anonymized_metrics_mode": "anonymized_metrics_disabled",
    }
    if gateway:
        settings["gateway"] = {"gateway_use_ssl": True}
    return _yaml(settings)


@cache
def fees() -> bytes:
    """Return `conf_fee_overrides.yml`, which overrides nothing."""
    return _yaml({"template_version": _FEES_VERSION})


@cache
def logs() -> bytes:
    """Return `hummingbot_logs.yml`: Python's configuration of logging, which `mqtt` extends to the broker.

    One file for each script, a new one each day, a week of them. The names in capitals with a dollar are Hummingbot's.
    """
    both = {"handlers": ["console", "file"], "propagate": False, "mqtt": True}
    loud = ("hummingbot.strategy", "hummingbot.connector", "hummingbot.client")
    quiet = ("hummingbot.logger.log_server_client", "hummingbot.logger.reporting_proxy_handler")
    return _yaml(
        {
            "version": 1,
            "template_version": _LOGS_VERSION,
            "formatters": {
                "line": {"format": "%(asctime)s - %(process)d - %(name)s - %(levelname)s - %(message)s"},
            },
            "handlers": {
                "console": {
                    "class": "hummingbot.logger.cli_handler.CLIHandler",
                    "level": "DEBUG",
                    "formatter": "line",
                    "stream": "ext://sys.stdout",
                },
                "file": {
                    "class": "logging.handlers.TimedRotatingFileHandler",
                    "level": "DEBUG",
                    "formatter": "line",
                    "filename": "$PROJECT_DIR/logs/logs_$STRATEGY_FILE_PATH.log",
                    "encoding": "utf8",
                    "when": "D",
                    "interval": 1,
                    "backupCount": 7,
                },
                "nowhere": {"class": "logging.NullHandler", "level": "DEBUG"},
            },
            "loggers": {
                **{name: {"level": "NETWORK", **both} for name in loud},
                **{name: {"level": "WARNING", **both} for name in quiet},
                # Every event of every market: for the file, and far too much for the broker.
                "hummingbot.core.event.event_reporter": {
                    "level": "EVENT_LOG",
                    "handlers": ["file"],
                    "propagate": False,
                    "mqtt": False,
                },
                "conf": {"level": "NETWORK", "handlers": ["nowhere"], "propagate": False, "mqtt": False},
            },
            "root": {"level": "INFO", "handlers": ["console", "file"], "mqtt": True},
        }
    )


def connector(name: str, credentials: Mapping[str, object], fields: Mapping[str, ConfigField], keys: Keyfiles) -> bytes:
    """Return `connectors/<name>.yml`: secrets as keyfiles, an empty one as it is, the rest in the open."""
    values: dict[str, object] = {"connector": name}
    for field, value in credentials.items():
        known = fields.get(field)
        secret = known is None or known.type == "SecretStr"  # what nobody knows is not written in the open
        values[field] = (keys.encrypt(str(value)) if value not in (None, "") else "") if secret else value
    return _yaml(values)


def _yaml(value: Mapping[str, object]) -> bytes:
    # Hummingbot reads YAML 1.1, in which a bare `on` is no text.
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.representer.sort_base_mapping_type_on_output = False
    text = io.BytesIO()
    yaml.dump(dict(value), text)
    return text.getvalue()
