"""Settings that are more than a word or a number."""

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from adapters.exchanges.names import CONNECTORS, PAPER_TRADE
from adapters.settings.reading import Given, WrongSetting
from domain.rates import SOURCES

PARTS = ("read", "write", "work", "project")
PAPER_BALANCES: Mapping[str, Mapping[str, Decimal]] = {
    "paper": {"USDT": Decimal(100_000), "BTC": Decimal(2), "ETH": Decimal(30)},
    "paper_perpetual": {"USDT": Decimal(50_000)},
}


def parts(given: Given) -> frozenset[str]:
    """Return the parts that this server runs. Raises `WrongSetting`."""
    parts = given.words("PARTS", ("all",))
    if parts == ("all",):
        return frozenset(PARTS)
    for part in parts:
        if part not in PARTS:
            raise WrongSetting("PARTS", part, f"is neither 'all' nor of {', '.join(PARTS)}")
    if not parts:
        raise WrongSetting("PARTS", given.text("PARTS") or "", "names no part")
    missing = [part for part in ("read", "write", "work") if part not in parts]
    if missing:
        raise WrongSetting("PARTS", ",".join(parts), "must hold read, write and work, which share one process for now")
    return frozenset(parts)


def command(given: Given) -> tuple[str, ...]:
    """Return the words of a command, none when it is not set. Raises `WrongSetting` for quotes that are not closed."""
    value = given.text("BOT_COMMAND") or ""
    try:
        return tuple(shlex.split(value))
    except ValueError as e:
        raise WrongSetting("BOT_COMMAND", value, f"is no command: {e}") from e


def check_program(words: Sequence[str], given: Given) -> None:
    """Make sure that a bot's command names a program that is there. Raises `WrongSetting`."""
    if not words:
        raise WrongSetting("BOT_RUNTIME", "process", "needs BOT_COMMAND, the program that is a bot")
    if shutil.which(words[0], path=given.text("PATH")) is None:
        raise WrongSetting("BOT_COMMAND", words[0], "is no program that is there and may be run")


def volume_driver(given: Given) -> str | None:
    """Return the driver of bots' volumes, None for each machine's own volumes. Raises `WrongSetting`."""
    value = given.text("BOT_SWARM_VOLUME_DRIVER")
    if value == "local":
        why = "keeps what bots write on the machine that they run on; leave it unset for that"
        raise WrongSetting("BOT_SWARM_VOLUME_DRIVER", value, why)
    return value


def volume_options(given: Given) -> Mapping[str, str]:
    """Return option → value of the driver of bots' volumes. Raises `WrongSetting`."""
    value = given.text("BOT_SWARM_VOLUME_OPTIONS")
    if value is None:
        return {}
    if given.text("BOT_SWARM_VOLUME_DRIVER") is None:
        raise WrongSetting("BOT_SWARM_VOLUME_OPTIONS", value, "needs BOT_SWARM_VOLUME_DRIVER")
    try:
        return msgspec.json.decode(value, type=dict[str, str])
    except msgspec.DecodeError as e:
        raise WrongSetting("BOT_SWARM_VOLUME_OPTIONS", value, f"is not a JSON object of strings: {e}") from e


def username(given: Given) -> str:
    """Return the user name. Raises `WrongSetting`."""
    value = given.text("USERNAME") or "admin"
    if ":" in value:
        raise WrongSetting("USERNAME", value, "holds a colon, which ends the user name in HTTP Basic")
    return value


def origin(origin: str) -> str:
    """Return an origin of CORS as it is. Raises `WrongSetting` for what is none."""
    url = urlsplit(origin)
    if url.scheme not in {"http", "https"} or not url.netloc or url.path or url.query:
        why = "is not an origin like https://dashboard.example.com"
        raise WrongSetting("CORS_ALLOW_ORIGINS", origin, why)
    return origin


def regex(environment: Mapping[str, str]) -> str:
    """Return the pattern of origins, empty for none. Raises `WrongSetting`."""
    # Here an empty value has a meaning of its own: no origin by pattern.
    pattern = environment.get("CORS_ALLOW_ORIGIN_REGEX")
    if pattern is None:
        return r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
    try:
        re.compile(pattern)
    except re.error as e:
        raise WrongSetting("CORS_ALLOW_ORIGIN_REGEX", pattern, f"is not a regular expression: {e}") from e
    return pattern


def database_url(given: Given) -> str | None:
    """Return the database's URL in the form that psycopg takes. Raises `WrongSetting`, never showing a password."""
    value = given.text("DATABASE_URL")
    if value is None:
        return None
    # The reference's form names SQLAlchemy's driver.
    scheme, separator, rest = value.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise WrongSetting(
            "DATABASE_URL", value, "is not a URL of the form postgresql://user:password@host:port/database"
        )
    url = f"postgresql://{rest}"
    why = "cannot be read: write % @ : / ? # in the user name and the password as %25 %40 %3A %2F %3F %23"
    try:
        host = conninfo_to_dict(url).get("host")
    except psycopg.ProgrammingError:  # its message may show a part of the password
        raise WrongSetting("DATABASE_URL", value, why) from None
    if "@" in str(host):  # a part of the password
        raise WrongSetting("DATABASE_URL", value, why)
    return url


def gateway_url(given: Given) -> str:
    """Return the Gateway's URL. Raises `WrongSetting`."""
    value = given.text("GATEWAY_URL") or "https://localhost:15888"
    if urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
        raise WrongSetting("GATEWAY_URL", value, "is not an https:// URL; Gateway is reached over mTLS only")
    return value.rstrip("/")


def venue_urls(given: Given) -> Mapping[str, Mapping[str, object]]:
    """Return connector → what is merged over ccxt's `urls`, read from the file. Raises `WrongSetting`."""
    if given.text("VENUE_URLS") is None:
        return {}
    path = given.path("VENUE_URLS", Path())
    try:
        urls = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, object]])
    except OSError as e:
        raise WrongSetting("VENUE_URLS", str(path), f"cannot be read: {e.strerror}") from e
    except msgspec.DecodeError as e:
        why = f'is not a JSON file of the form {{"binance": {{"api": …}}}}: {e}'
        raise WrongSetting("VENUE_URLS", str(path), why) from e
    for connector in urls:
        if connector not in CONNECTORS and connector not in SOURCES:
            raise WrongSetting("VENUE_URLS", connector, "is no connector, nor a source of rates")
    return urls


def paper_feed(given: Given) -> Path | None:
    """Return the file of a recorded market, None for the synthetic one. Raises `WrongSetting`."""
    if given.text("PAPER_FEED") is None:
        return None
    path = given.path("PAPER_FEED", Path())
    if not path.is_file():
        raise WrongSetting("PAPER_FEED", str(path), "is not a file")
    return path


def paper_balances(given: Given) -> Mapping[str, Mapping[str, Decimal]]:
    """Return connector → token → units that a paper account begins with. Raises `WrongSetting`."""
    value = given.text("PAPER_BALANCES")
    if value is None:
        return PAPER_BALANCES
    form = '{"paper": {"USDT": "100000"}}'
    try:
        balances = msgspec.json.decode(value, type=dict[str, dict[str, Decimal]])
    except msgspec.DecodeError as e:
        raise WrongSetting("PAPER_BALANCES", value, f"is not JSON of the form {form}: {e}") from e
    for connector, tokens in balances.items():
        on_paper = connector.endswith(PAPER_TRADE) and connector.removesuffix(PAPER_TRADE) in CONNECTORS
        if connector not in PAPER_BALANCES and not on_paper:
            why = f"is none of {', '.join(PAPER_BALANCES)}, nor a connector with {PAPER_TRADE} behind its name"
            raise WrongSetting("PAPER_BALANCES", connector, why)
        for token, units in tokens.items():
            if not units.is_finite() or not 0 <= units <= Decimal("1e15"):
                raise WrongSetting("PAPER_BALANCES", f"{token}: {units}", "is not between 0 and 1e15")
    return {**PAPER_BALANCES, **balances}
