"""What the operator sets: environment variables, read and checked once, at start.

Names are those of hummingbot-api (`config.py`) where it has the setting; ours are the paper venue's (`PAPER_…`),
`VENUE_URLS`, `COIN_CAP_API_KEY`, `RECONCILE_INTERVAL`, `NECTAR_DATA`, `BOTS_PATH`, `PARTS`, `LOG_LEVEL`. An empty value
is the same as none. A wrong one stops the start.
"""

import ipaddress
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from adapters.exchanges.names import CONNECTORS, PAPER_TRADE
from domain.rates import SOURCES

DEFAULT_PASSWORD = "admin"
DEFAULT_CONFIG_PASSWORD = "a"
PARTS = ("read", "write", "work", "project")
LOG_LEVELS = ("debug", "info", "warning", "error")

_SECRET = frozenset({
    "PASSWORD", "CONFIG_PASSWORD", "DATABASE_URL", "BROKER_PASSWORD", "AWS_SECRET_KEY", "LOGFIRE_TOKEN",
    "COIN_CAP_API_KEY",
})  # fmt: skip
_PAPER_BALANCES: Mapping[str, Mapping[str, Decimal]] = {
    "paper": {"USDT": Decimal(100_000), "BTC": Decimal(2), "ETH": Decimal(30)},
    "paper_perpetual": {"USDT": Decimal(50_000)},
}


class WrongSetting(Exception):
    """Refuse to start: a setting has a value that cannot be right. The value of a secret is never shown."""

    def __init__(self, name: str, value: str, why: str) -> None:
        shown = "the value given" if name in _SECRET else f"'{value[:200]}'"
        super().__init__(f"Wrong setting {name}: {shown} {why}")
        self.name = name
        self.why = why


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, checked. Paths are absolute; `None` is "not set" and means the embedded or default thing."""

    data: Path
    bots_path: Path
    parts: frozenset[str]
    log_level: str

    username: str
    password: str
    config_password: str
    cors_origins: tuple[str, ...]
    cors_origin_regex: str  # Empty: only `cors_origins`.

    database_url: str | None

    broker_host: str | None
    broker_port: int
    broker_username: str | None
    broker_password: str | None
    broker_performance_dump_interval: int  # Minutes.

    account_update_interval: int  # Minutes.
    reconcile_interval: int  # Minutes.
    banned_tokens: frozenset[str]

    gateway_url: str

    market_data_cleanup_interval: int  # Seconds, as all of market data.
    market_data_feed_timeout: int
    market_data_candles_ready_timeout: int
    market_data_ws_heartbeat_interval: int
    market_data_ws_min_update_interval: Decimal
    market_data_ws_max_update_interval: Decimal

    aws_api_key: str | None
    aws_secret_key: str | None
    aws_s3_default_bucket_name: str | None
    logfire_token: str | None
    logfire_environment: str

    venue_urls: Mapping[str, Mapping[str, object]]  # connector → what is merged over ccxt's `urls`
    coin_cap_api_key: str | None

    paper_feed: Path | None
    paper_seed: int
    paper_tick_seconds: Decimal
    paper_maker_fee: Decimal  # A share of the notional; a negative one is a rebate.
    paper_taker_fee: Decimal
    paper_balances: Mapping[str, Mapping[str, Decimal]]  # connector → token → units

    remarks: tuple[str, ...]
    """What the operator should know about settings that are taken, but not as meant or not safely; for the log."""

    def __repr__(self) -> str:
        """Show nothing but where the data is: the rest holds secrets."""
        return f"Settings(data={self.data!s}, …)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show as little where rich prints (msgspec's own shows every field)."""
        return [("data", str(self.data))]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Return the settings that these variables make. Raises `WrongSetting` for the first wrong one."""
        given = _Given(environment)
        data = given.path("NECTAR_DATA", Path("data"))
        settings = cls(
            data=data,
            bots_path=given.path("BOTS_PATH", data),
            parts=_parts(given),
            log_level=given.one_of("LOG_LEVEL", LOG_LEVELS, "info"),
            username=_username(given),
            password=given.text("PASSWORD") or DEFAULT_PASSWORD,
            config_password=given.text("CONFIG_PASSWORD") or DEFAULT_CONFIG_PASSWORD,
            cors_origins=tuple(_origin(origin) for origin in given.words("CORS_ALLOW_ORIGINS", ())),
            cors_origin_regex=_regex(environment),
            database_url=_database_url(given),
            broker_host=given.text("BROKER_HOST"),
            broker_port=given.whole("BROKER_PORT", 1883, 1, 65535),
            broker_username=given.text("BROKER_USERNAME"),
            broker_password=given.text("BROKER_PASSWORD"),
            broker_performance_dump_interval=given.whole("BROKER_PERFORMANCE_DUMP_INTERVAL", 5, 1, 1440),
            account_update_interval=given.whole("ACCOUNT_UPDATE_INTERVAL", 5, 1, 1440),
            reconcile_interval=given.whole("RECONCILE_INTERVAL", 2, 1, 1440),
            banned_tokens=frozenset(given.words("BANNED_TOKENS", ("NAV", "ARS", "ETHW", "ETHF"))),
            gateway_url=_gateway_url(given),
            market_data_cleanup_interval=given.whole("MARKET_DATA_CLEANUP_INTERVAL", 300, 1, 86_400),
            market_data_feed_timeout=given.whole("MARKET_DATA_FEED_TIMEOUT", 600, 1, 86_400),
            market_data_candles_ready_timeout=given.whole("MARKET_DATA_CANDLES_READY_TIMEOUT", 30, 1, 3600),
            market_data_ws_heartbeat_interval=given.whole("MARKET_DATA_WS_HEARTBEAT_INTERVAL", 30, 1, 3600),
            market_data_ws_min_update_interval=given.number(
                "MARKET_DATA_WS_MIN_UPDATE_INTERVAL", "0.25", "0.01", "3600"
            ),
            market_data_ws_max_update_interval=given.number("MARKET_DATA_WS_MAX_UPDATE_INTERVAL", "60", "0.01", "3600"),
            aws_api_key=given.text("AWS_API_KEY"),
            aws_secret_key=given.text("AWS_SECRET_KEY"),
            aws_s3_default_bucket_name=given.text("AWS_S3_DEFAULT_BUCKET_NAME"),
            logfire_token=given.text("LOGFIRE_TOKEN"),
            logfire_environment=given.text("LOGFIRE_ENVIRONMENT") or "dev",
            venue_urls=_venue_urls(given),
            coin_cap_api_key=given.text("COIN_CAP_API_KEY"),
            paper_feed=_paper_feed(given),
            paper_seed=given.whole("PAPER_SEED", 1, 0, 2**63 - 1),
            paper_tick_seconds=given.number("PAPER_TICK_SECONDS", "1", "0.01", "3600"),
            paper_maker_fee=given.number("PAPER_MAKER_FEE", "0.001", "-0.01", "0.1"),
            paper_taker_fee=given.number("PAPER_TAKER_FEE", "0.001", "0", "0.1"),
            paper_balances=_paper_balances(given),
            remarks=(),
        )
        if settings.market_data_ws_min_update_interval > settings.market_data_ws_max_update_interval:
            raise WrongSetting(
                "MARKET_DATA_WS_MIN_UPDATE_INTERVAL",
                str(settings.market_data_ws_min_update_interval),
                f"is above MARKET_DATA_WS_MAX_UPDATE_INTERVAL, {settings.market_data_ws_max_update_interval}",
            )
        return msgspec.structs.replace(settings, remarks=_remarks(settings, given))


def refuse_open_door(settings: Settings, host: str) -> None:
    """Refuse to listen beyond this machine with the password that everybody knows. Raises `WrongSetting`."""
    if settings.password == DEFAULT_PASSWORD and not is_loopback(host):
        raise WrongSetting(
            "PASSWORD",
            settings.password,
            f"is the default, which is accepted on a loopback address only, not on '{host}'. Set PASSWORD"
            " (and CONFIG_PASSWORD, which encrypts the exchange keys), or serve with --host 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`: a name that is no address is taken for the world's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a `.env` file, none if there is no file.

    A line is `NAME=value`, with `export ` before it or quotes around the value if one likes; `#` begins a comment.
    Raises `WrongSetting` for a line that is none of these.
    """
    if not path.is_file():
        return {}
    variables = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = re.fullmatch(r"""(?:export\s+)?(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^"'].*?)?)(?:\s+#.*)?""", text)
        if match is None:
            raise WrongSetting(f"{path}", f"line {number}", "is not NAME=value")
        variables[match[1]] = next((value for value in match.groups()[1:] if value is not None), "")
    return variables


class _Given:
    """The variables as they were given, each read in the form that it must have."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str | None:
        value = self._environment.get(name, "").strip()
        if not value.isprintable():
            raise WrongSetting(name, repr(value), "holds a character that cannot be printed")
        return value or None

    def path(self, name: str, default: Path) -> Path:
        value = self.text(name)
        return (default if value is None else Path(value).expanduser()).absolute()

    def one_of(self, name: str, words: tuple[str, ...], default: str) -> str:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in words:
            raise WrongSetting(name, value, f"is none of {', '.join(words)}")
        return value.lower()

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if re.fullmatch(r"[+-]?[0-9]{1,20}", value) is None:
            raise WrongSetting(name, value, "is not a whole number")
        if not least <= int(value) <= most:
            raise WrongSetting(name, value, f"is not between {least} and {most}")
        return int(value)

    def number(self, name: str, default: str, least: str, most: str) -> Decimal:
        value = self.text(name) or default
        try:
            number = Decimal(value)
        except InvalidOperation as e:
            raise WrongSetting(name, value, "is not a number") from e
        if not number.is_finite() or not Decimal(least) <= number <= Decimal(most):
            raise WrongSetting(name, value, f"is not between {least} and {most}")
        return number

    def words(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Read a JSON list of strings, as the reference has it, or words between commas."""
        value = self.text(name)
        if value is None:
            return default
        if not value.startswith("["):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        try:
            return tuple(msgspec.json.decode(value, type=list[str]))
        except msgspec.DecodeError as e:
            raise WrongSetting(name, value, f"is not a JSON list of strings: {e}") from e


def _parts(given: _Given) -> frozenset[str]:
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


def _username(given: _Given) -> str:
    value = given.text("USERNAME") or "admin"
    if ":" in value:
        raise WrongSetting("USERNAME", value, "holds a colon, which ends the user name in HTTP Basic")
    return value


def _origin(origin: str) -> str:
    url = urlsplit(origin)
    if url.scheme not in {"http", "https"} or not url.netloc or url.path or url.query:
        why = "is not an origin like https://dashboard.example.com"
        raise WrongSetting("CORS_ALLOW_ORIGINS", origin, why)
    return origin


def _regex(environment: Mapping[str, str]) -> str:
    # Here an empty value has a meaning of its own: no origin by pattern.
    pattern = environment.get("CORS_ALLOW_ORIGIN_REGEX")
    if pattern is None:
        return r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
    try:
        re.compile(pattern)
    except re.error as e:
        raise WrongSetting("CORS_ALLOW_ORIGIN_REGEX", pattern, f"is not a regular expression: {e}") from e
    return pattern


def _database_url(given: _Given) -> str | None:
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


def _gateway_url(given: _Given) -> str:
    value = given.text("GATEWAY_URL") or "https://localhost:15888"
    if urlsplit(value).scheme != "https" or not urlsplit(value).hostname:
        raise WrongSetting("GATEWAY_URL", value, "is not an https:// URL; Gateway is reached over mTLS only")
    return value.rstrip("/")


def _venue_urls(given: _Given) -> Mapping[str, Mapping[str, object]]:
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


def _paper_feed(given: _Given) -> Path | None:
    if given.text("PAPER_FEED") is None:
        return None
    path = given.path("PAPER_FEED", Path())
    if not path.is_file():
        raise WrongSetting("PAPER_FEED", str(path), "is not a file")
    return path


def _paper_balances(given: _Given) -> Mapping[str, Mapping[str, Decimal]]:
    value = given.text("PAPER_BALANCES")
    if value is None:
        return _PAPER_BALANCES
    form = '{"paper": {"USDT": "100000"}}'
    try:
        balances = msgspec.json.decode(value, type=dict[str, dict[str, Decimal]])
    except msgspec.DecodeError as e:
        raise WrongSetting("PAPER_BALANCES", value, f"is not JSON of the form {form}: {e}") from e
    for connector, tokens in balances.items():
        on_paper = connector.endswith(PAPER_TRADE) and connector.removesuffix(PAPER_TRADE) in CONNECTORS
        if connector not in _PAPER_BALANCES and not on_paper:
            why = f"is none of {', '.join(_PAPER_BALANCES)}, nor a connector with {PAPER_TRADE} behind its name"
            raise WrongSetting("PAPER_BALANCES", connector, why)
        for token, units in tokens.items():
            if not units.is_finite() or not 0 <= units <= Decimal("1e15"):
                raise WrongSetting("PAPER_BALANCES", f"{token}: {units}", "is not between 0 and 1e15")
    return {**_PAPER_BALANCES, **balances}


def _remarks(settings: Settings, given: _Given) -> tuple[str, ...]:
    remarks = []
    if (given.text("DEBUG_MODE") or "false").lower() not in {"false", "0", "no", "off"}:
        remarks.append("DEBUG_MODE is ignored: authentication is never turned off")
    if settings.password == DEFAULT_PASSWORD:
        remarks.append("PASSWORD is the default; it is accepted on a loopback address only")
    if settings.config_password == DEFAULT_CONFIG_PASSWORD:
        remarks.append(
            "CONFIG_PASSWORD is the default: exchange keys are encrypted with a password that everybody knows"
        )
    return tuple(remarks)
