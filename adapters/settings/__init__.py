"""What the operator sets: environment variables, read and checked once, at start.

Names are those of hummingbot-api (`config.py`) where it has the setting; ours are the paper venue's (`PAPER_…`),
`VENUE_URLS`, `COIN_CAP_API_KEY`, `RECONCILE_INTERVAL`, `NECTAR_DATA`, `BOTS_PATH`, `PARTS`, `LOG_LEVEL`, and those of
bots (`BOT_…`, `DOCKER_ALL`). An empty value is the same as none. A wrong one stops the start.
"""

import ipaddress
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from adapters.settings import checks
from adapters.settings.checks import PARTS
from adapters.settings.reading import Given, WrongSetting

__all__ = [
    "DEFAULT_CONFIG_PASSWORD",
    "DEFAULT_PASSWORD",
    "LOG_LEVELS",
    "PARTS",
    "RUNTIMES",
    "Settings",
    "WrongSetting",
    "is_loopback",
    "read_env_file",
    "refuse_open_door",
]

DEFAULT_PASSWORD = "admin"
DEFAULT_CONFIG_PASSWORD = "a"
LOG_LEVELS = ("debug", "info", "warning", "error")
RUNTIMES = ("docker", "swarm", "process")


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

    bot_runtime: str
    bot_runtimes_gone: frozenset[str]  # As events name them: `docker:<id of the engine>`.
    bot_command: tuple[str, ...]  # What runs a bot as a process, word by word: Hummingbot's quickstart.
    bot_broker_host: str | None  # Where bots find the broker; None: where we find it.
    bot_broker_port: int | None
    bot_swarm_constraints: tuple[str, ...]  # As `node.labels.bots == true`.
    bot_swarm_volume_driver: str | None  # None: volumes of the machine that a bot runs on.
    bot_swarm_volume_options: Mapping[str, str]
    bot_heartbeat_timeout: int  # Seconds, as the next one.
    bot_stop_timeout: int
    bot_updates_keep_days: int | None  # None: for ever.
    docker_all: bool  # Whether containers that are not ours may be stopped and removed.

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
    aws_region: str | None
    aws_endpoint_url: str | None  # Of an S3 that is not Amazon's.
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
        given = Given(environment)
        data = given.path("NECTAR_DATA", Path("data"))
        settings = cls(
            data=data,
            bots_path=given.path("BOTS_PATH", data),
            parts=checks.parts(given),
            log_level=given.one_of("LOG_LEVEL", LOG_LEVELS, "info"),
            username=checks.username(given),
            password=given.text("PASSWORD") or DEFAULT_PASSWORD,
            config_password=given.text("CONFIG_PASSWORD") or DEFAULT_CONFIG_PASSWORD,
            cors_origins=tuple(checks.origin(origin) for origin in given.words("CORS_ALLOW_ORIGINS", ())),
            cors_origin_regex=checks.regex(environment),
            database_url=checks.database_url(given),
            broker_host=given.text("BROKER_HOST"),
            broker_port=given.whole("BROKER_PORT", 1883, 1, 65535),
            broker_username=given.text("BROKER_USERNAME"),
            broker_password=given.text("BROKER_PASSWORD"),
            broker_performance_dump_interval=given.whole("BROKER_PERFORMANCE_DUMP_INTERVAL", 5, 1, 1440),
            bot_runtime=given.one_of("BOT_RUNTIME", RUNTIMES, "docker"),
            bot_runtimes_gone=frozenset(given.words("BOT_RUNTIMES_GONE", ())),
            bot_command=checks.command(given),
            bot_broker_host=given.text("BOT_BROKER_HOST"),
            bot_broker_port=given.whole("BOT_BROKER_PORT", 0, 0, 65535) or None,
            bot_swarm_constraints=given.words("BOT_SWARM_CONSTRAINTS", ()),
            bot_swarm_volume_driver=checks.volume_driver(given),
            bot_swarm_volume_options=checks.volume_options(given),
            bot_heartbeat_timeout=given.whole("BOT_HEARTBEAT_TIMEOUT", 30, 1, 86_400),
            bot_stop_timeout=given.whole("BOT_STOP_TIMEOUT", 120, 1, 86_400),
            bot_updates_keep_days=given.whole("BOT_UPDATES_KEEP_DAYS", 0, 0, 36_500) or None,
            docker_all=given.one_of("DOCKER_ALL", ("true", "false"), "false") == "true",
            account_update_interval=given.whole("ACCOUNT_UPDATE_INTERVAL", 5, 1, 1440),
            reconcile_interval=given.whole("RECONCILE_INTERVAL", 2, 1, 1440),
            banned_tokens=frozenset(given.words("BANNED_TOKENS", ("NAV", "ARS", "ETHW", "ETHF"))),
            gateway_url=checks.gateway_url(given),
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
            aws_region=given.text("AWS_REGION"),
            aws_endpoint_url=given.text("AWS_ENDPOINT_URL"),
            logfire_token=given.text("LOGFIRE_TOKEN"),
            logfire_environment=given.text("LOGFIRE_ENVIRONMENT") or "dev",
            venue_urls=checks.venue_urls(given),
            coin_cap_api_key=given.text("COIN_CAP_API_KEY"),
            paper_feed=checks.paper_feed(given),
            paper_seed=given.whole("PAPER_SEED", 1, 0, 2**63 - 1),
            paper_tick_seconds=given.number("PAPER_TICK_SECONDS", "1", "0.01", "3600"),
            paper_maker_fee=given.number("PAPER_MAKER_FEE", "0.001", "-0.01", "0.1"),
            paper_taker_fee=given.number("PAPER_TAKER_FEE", "0.001", "0", "0.1"),
            paper_balances=checks.paper_balances(given),
            remarks=(),
        )
        if settings.market_data_ws_min_update_interval > settings.market_data_ws_max_update_interval:
            raise WrongSetting(
                "MARKET_DATA_WS_MIN_UPDATE_INTERVAL",
                str(settings.market_data_ws_min_update_interval),
                f"is above MARKET_DATA_WS_MAX_UPDATE_INTERVAL, {settings.market_data_ws_max_update_interval}",
            )
        if settings.bot_runtime == "process":
            checks.check_program(settings.bot_command, given)
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


def _remarks(settings: Settings, given: Given) -> tuple[str, ...]:
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
