"""What the operator reads when the server has started."""

from importlib.metadata import version

from psycopg.conninfo import conninfo_to_dict

from adapters.private_broker import Broker
from adapters.settings import DEFAULT_PASSWORD, PARTS, Settings


def banner(settings: Settings, *, host: str, port: int, broker: Broker | None) -> str:
    """Return where the server and its data are, and what of it is embedded. `broker` is the private one, if any."""
    # What listens on all addresses is reached, from this machine, on the loopback one.
    address = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    lines = {
        "API": f"http://{address}:{port}",
        "Docs": f"http://{address}:{port}/docs",
        "User": f"{settings.username}{_password_remark(settings)}",
        "Data": str(settings.data),
        "Database": _database(settings),
        "Broker": _broker(settings, broker),
    }
    if settings.parts != frozenset(PARTS):
        lines["Parts"] = ", ".join(part for part in PARTS if part in settings.parts)
    lines["Stop"] = "Ctrl-C"
    width = max(map(len, lines))
    body = "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
    return f"\nNectar {version('nectar')}\n\n{body}\n"


def _password_remark(settings: Settings) -> str:
    return ", with the default password" if settings.password == DEFAULT_PASSWORD else ""


def _database(settings: Settings) -> str:
    if settings.database_url is None:
        return "embedded Postgres, in the data folder"
    given = conninfo_to_dict(settings.database_url)
    port = f":{given['port']}" if "port" in given else ""
    name = f"/{given['dbname']}" if "dbname" in given else ""
    return f"Postgres at {given.get('host', 'this machine')}{port}{name}"


def _broker(settings: Settings, broker: Broker | None) -> str:
    if broker is None:
        if settings.broker_host is None:
            return "none"
        return f"MQTT at {settings.broker_host}:{settings.broker_port}"
    where = f"on {broker.host}:{broker.port}"
    if broker.kind == "embedded":
        return f"embedded (amqtt) {where}, fit for a trial only"
    return f"{broker.kind} of our own {where}"
