"""A bot that trades nothing and talks on the broker as a real headless Hummingbot does (hummingbot 20260922).

A program of its own, for containers and processes: it needs Python, paho-mqtt and one reader of YAML (ruamel.yaml or
PyYAML), and with eth-keyfile it opens its exchange keys as a real one. It reads `conf/` and writes `data/` and `logs/`
of the folder that it is started in. `BOT_HEARTBEAT_SECONDS`, `BOT_REPORT_SECONDS` and `BOT_WIND_DOWN_SECONDS` change
its pace.
"""

import binascii
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

HEARTBEAT_SECONDS = float(os.environ.get("BOT_HEARTBEAT_SECONDS", "10"))
REPORT_SECONDS = float(os.environ.get("BOT_REPORT_SECONDS", "1"))
WIND_DOWN_SECONDS = float(os.environ.get("BOT_WIND_DOWN_SECONDS", "13.3"))
SYNC_SECONDS = 30.0
COMMANDS = ("start", "stop", "config", "import", "status", "history", "balance/limit", "balance/paper")
NO_STRATEGY = "'HummingbotApplication' object has no attribute 'strategy'"
LOGGER = "hummingbot.strategy_v2.controllers.controller_base.ControllerBase"
INFO, ERROR = 20, 40

# The tables of a real bot that are written here (Metadata.local_db_version 20230516); amounts times a million.
SCHEMA = """
create table "Metadata" ("key" text not null primary key, value text not null);
create table "Controllers" (id text, controller_id integer not null primary key, timestamp float not null,
    type text not null, config json not null);
create table "Order" (id text not null primary key, config_file_path text not null, strategy text not null,
    market text not null, symbol text not null, base_asset text not null, quote_asset text not null,
    creation_timestamp bigint not null, order_type text not null, amount bigint not null, leverage integer not null,
    price bigint not null, last_status text not null, last_update_timestamp bigint not null, exchange_order_id text,
    position text);
create table "OrderStatus" (id integer not null primary key, order_id text not null references "Order" (id),
    timestamp bigint not null, status text not null);
create table "TradeFill" (config_file_path text not null, strategy text not null, market text not null,
    symbol text not null, base_asset text not null, quote_asset text not null, timestamp bigint not null,
    order_id text not null references "Order" (id), trade_type text not null, order_type text not null,
    price bigint not null, amount bigint not null, leverage integer not null, trade_fee json not null,
    trade_fee_in_quote bigint, exchange_trade_id text not null, position text,
    primary key (market, order_id, exchange_trade_id));
create table "Executors" (id text not null primary key, timestamp float not null, type text not null,
    close_type integer, close_timestamp bigint, status integer not null, config json not null,
    net_pnl_pct float not null, net_pnl_quote float not null, cum_fees_quote float not null,
    filled_amount_quote float not null, is_active boolean not null, is_trading boolean not null,
    custom_info json not null, controller_id text);
create table "Position" (id text not null primary key, controller_id text not null, connector_name text not null,
    side text not null, trading_pair text not null, timestamp bigint not null, volume_traded_quote bigint not null,
    amount bigint not null, breakeven_price bigint not null, unrealized_pnl_quote bigint not null,
    realized_pnl_quote bigint not null, cum_fees_quote bigint not null);
create table "FundingPayment" (timestamp bigint not null primary key, config_file_path text not null,
    market text not null, rate float not null, symbol text not null, amount float not null);
insert into "Metadata" values ('local_db_version', '20230516');
"""


class Refused(Exception):
    """What the bot was given cannot be used."""


def yaml_of(path: Path) -> dict[str, Any]:
    """Read a YAML file, with whichever reader there is."""
    try:
        from ruamel.yaml import YAML

        read = YAML(typ="safe", pure=True).load(path)
    except ImportError:
        import yaml

        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(read, dict):
        raise Refused(f"{path} holds no fields")
    return read


def ujson(value: object) -> str:
    """Write JSON as ujson does: without spaces, slashes and all beyond ASCII escaped, NaN as it is."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/")


def open_keys(password: str) -> None:
    """Open the exchange keys with the password. Raises `Refused`."""
    verification = Path("conf/.password_verification")
    secrets = {"conf/.password_verification": verification.read_text().strip()} if verification.exists() else {}
    for path in sorted(Path("conf/connectors").glob("*.yml")):
        for field, value in yaml_of(path).items():
            if field != "connector" and isinstance(value, str):
                secrets[f"{path}: {field}"] = value
    for name, secret in secrets.items():
        try:
            keyfile = json.loads(binascii.unhexlify(secret))
            keyfile["crypto"]
        except (ValueError, KeyError) as e:
            raise Refused(f"{name} is no keyfile") from e
        try:
            from eth_keyfile.keyfile import decode_keyfile_json
        except ImportError:
            continue
        try:
            decode_keyfile_json(keyfile, password.encode())
        except ValueError as e:
            raise Refused(f"Invalid password: {name} does not open") from e


class Controller:
    """One controller of a config, with figures that move."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed_at = path.stat().st_mtime_ns
        self.config = yaml_of(path)
        self.id = str(self.config.get("id", path.stem))
        self.connector = str(self.config.get("connector_name", "binance"))
        self.pair = str(self.config.get("trading_pair", "BTC-USDT"))
        self.reports = 0

    @property
    def killed(self) -> bool:
        """Whether its kill switch is set."""
        return bool(self.config.get("manual_kill_switch"))

    def changed(self) -> bool:
        """Read the config again if it was written since, and say so."""
        changed_at = self.path.stat().st_mtime_ns
        if changed_at == self.changed_at:
            return False
        self.changed_at, self.config = changed_at, yaml_of(self.path)
        return True

    def report(self) -> dict[str, Any]:
        """Return its performance; a killed one stands still."""
        self.reports += not self.killed
        volume = 500.0 * self.reports
        realized, unrealized = -0.05 * self.reports, 0.25
        position = {
            "connector_name": self.connector,
            "trading_pair": self.pair,
            "volume_traded_quote": 500.0,
            "side": "TradeType.BUY",
            "amount": 3.388,
            "breakeven_price": 147.5797488,
            "unrealized_pnl_quote": unrealized,
            "realized_pnl_quote": 0.0,
            "cum_fees_quote": 0.5,
        }
        performance = {
            "realized_pnl_quote": realized,
            "unrealized_pnl_quote": unrealized,
            "unrealized_pnl_pct": 100 * unrealized / volume if volume else 0.0,
            "realized_pnl_pct": 100 * realized / volume if volume else 0.0,
            "global_pnl_quote": realized + unrealized,
            "global_pnl_pct": 100 * (realized + unrealized) / volume if volume else 0.0,
            "volume_traded": volume,
            "positions_summary": [position] if self.reports else [],
            "close_type_counts": {"CloseType.TAKE_PROFIT": self.reports},
        }
        return {"performance": performance, "custom_info": {}}


class Records:
    """The bot's database."""

    def __init__(self, path: Path, config: str) -> None:
        fresh = not path.exists()
        self._config = config
        self._database = sqlite3.connect(path, check_same_thread=False)
        if fresh:
            self._database.executescript(SCHEMA)
        self.trades: list[dict[str, Any]] = []

    def controllers(self, controllers: list[Controller]) -> None:
        """Record that controllers were started."""
        rows = [
            (c.id, time.time(), c.config.get("controller_name", "pmm_simple"), json.dumps(c.config))
            for c in controllers
        ]
        with self._database:
            self._database.executemany(
                'insert into "Controllers" (id, timestamp, type, config) values (?, ?, ?, ?)', rows
            )

    def fill(self, market: str, symbol: str, side: str, price: int, amount: int) -> None:
        """Record an order that filled at once; price and amount in millionths."""
        at, number = int(time.time() * 1000), len(self.trades) + 1
        base, quote = symbol.split("-")
        order_id = f"x-test{at}{number}"
        strategy = "v2_with_controllers"
        fee = {"fee_type": "DeductedFromReturns", "percent": "0", "percent_token": quote}
        fee["flat_fees"] = [{"token": quote, "amount": "0.5"}]  # type: ignore[assignment]
        common = (self._config, strategy, market, symbol, base, quote, at)
        with self._database:
            self._database.execute(
                f'insert into "Order" values (?{", ?" * 15})',
                (order_id, *common, "MARKET", amount, 1, 0, f"{side.title()}OrderCompleted", at, str(number), "NIL"),
            )
            for status in (f"{side.title()}OrderCreated", "OrderFilled", f"{side.title()}OrderCompleted"):
                self._database.execute(
                    'insert into "OrderStatus" (order_id, timestamp, status) values (?, ?, ?)', (order_id, at, status)
                )
            trade = (*common, order_id, side, "MARKET", price, amount, 1, json.dumps(fee), 500_000, str(number), "NIL")
            self._database.execute(f'insert into "TradeFill" values (?{", ?" * 16})', trade)
        self.trades.append(
            {
                "market": market,
                "trade_id": str(number),
                "price": f"{price / 1e6:g}",
                "quantity": f"{amount / 1e6:g}",
                "symbol": symbol,
                "trade_timestamp": at,
                "trade_type": side,
                "base_asset": base,
                "quote_asset": quote,
                "raw_json": {"trade_fee": fee},
            }
        )


class Bot:
    """The bot itself: what it publishes by itself, and what it answers."""

    def __init__(self) -> None:
        open_keys(os.environ.get("CONFIG_PASSWORD", ""))
        client = yaml_of(Path("conf/conf_client.yml"))
        self._bridge = client["mqtt_bridge"]
        self._id = str(client["instance_id"])
        self._prefix = f"{str(self._bridge.get('mqtt_namespace', 'hbot')).rstrip('/.')}/{self._id}"
        script = os.environ.get("SCRIPT_CONFIG")
        name = Path(script).stem if script else "hummingbot"
        named = yaml_of(Path("conf/scripts") / script).get("controllers_config", []) if script else []
        self._controllers = [Controller(Path("conf/controllers") / file) for file in named]
        for folder in ("data", "logs"):
            Path(folder).mkdir(exist_ok=True)
        self._log_file = Path(f"logs/logs_{name}.log").open("a", encoding="utf-8")  # noqa: SIM115
        self._records = Records(Path(f"data/{name}.sqlite"), script or "")
        self._records.controllers(self._controllers)
        for controller in self._controllers:
            self._records.fill(controller.connector, controller.pair, "BUY", 147_579_748, 3_388_000)
            self._records.fill(controller.connector, controller.pair, "SELL", 147_590_000, 1_693_000)
        self._trading = bool(self._controllers)
        self._stopping: threading.Thread | None = None
        self._lock = threading.Lock()
        self._mqtt = self._client()

    def _client(self) -> mqtt.Client:
        # paho 2 wants to be told how its callbacks look; 1.6, which is in Debian, knows one way alone.
        versions: dict[str, Any] = {}
        if hasattr(mqtt, "CallbackAPIVersion"):
            versions["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
        client = mqtt.Client(client_id=f"hbot.{self._id}", clean_session=True, **versions)
        if self._bridge.get("mqtt_username"):
            client.username_pw_set(self._bridge["mqtt_username"], self._bridge.get("mqtt_password") or None)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 5)
        return client

    def run(self) -> None:
        """Talk until the process is ended."""
        self._mqtt.connect_async(self._bridge["mqtt_host"], int(self._bridge["mqtt_port"]), keepalive=60)
        self._mqtt.loop_start()
        reported_at = beaten_at = time.monotonic()
        while True:
            time.sleep(min(REPORT_SECONDS, HEARTBEAT_SECONDS, 0.1))
            now = time.monotonic()
            if now - beaten_at >= HEARTBEAT_SECONDS:
                beaten_at = now
                self._beat()
            if now - reported_at >= REPORT_SECONDS:
                reported_at = now
                with self._lock:
                    if self._trading:
                        self._report()

    def _report(self) -> None:
        for controller in self._controllers:
            if controller.changed():
                self._log(f"Controller {controller.id} config updated: manual_kill_switch={controller.killed}")
        self._say("performance", {controller.id: controller.report() for controller in self._controllers})
        first = self._controllers[0]
        self._log(f"Created LIMIT BUY order for 3.388 {first.pair.split('-')[0]}. Controller {first.id}")

    def _say(self, topic: str, said: object) -> None:
        if self._mqtt.is_connected():
            self._mqtt.publish(f"{self._prefix}/{topic}", ujson(said), qos=0)

    def _beat(self) -> None:
        self._say("hb", {"ts": int((time.time() + 0.5) * 1e6)})

    def _log(self, text: str, level: int = INFO) -> None:
        name = "INFO" if level == INFO else "ERROR"
        print(f"{time.time():.3f} - {LOGGER} - {name} - {text}", file=self._log_file, flush=True)
        line = {"timestamp": time.time(), "msg": text, "level_no": level, "level_name": name, "logger_name": LOGGER}
        self._say("log", line)

    def _on_connect(self, client: mqtt.Client, _userdata: object, _flags: object, code: Any, *_more: object) -> None:
        if code != 0:
            sys.stderr.write(f"The broker refused: {code}\n")
            return
        client.subscribe([(f"{self._prefix}/{command}", 1) for command in COMMANDS])
        client.subscribe(f"{self._prefix}/external/event/#", 0)
        self._log("Network status has changed to NetworkStatus.CONNECTED. Starting networking...")
        self._beat()
        self._say("status_updates", {"timestamp": int(time.time() * 1000), "type": "availability", "msg": "online"})

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        command = message.topic.removeprefix(f"{self._prefix}/")
        try:
            said = json.loads(message.payload)
        except ValueError:
            return
        if command in COMMANDS:
            threading.Thread(target=self._obey, args=(command, said), daemon=True).start()

    def _obey(self, command: str, said: object) -> None:
        fields = said if isinstance(said, dict) else {}
        data = fields.get("data", {}) if isinstance(fields.get("header"), dict) else {}
        try:
            answer = self._answer(command, data)
        except KeyError as missing:
            self._log(f"Failed to process message on {command}: field {missing} is required", ERROR)
            return
        reply_to = fields.get("header", {}).get("reply_to") if isinstance(fields.get("header"), dict) else None
        if reply_to:
            header = {"reply_to": "", "timestamp": int(time.time() * 1000), "content_type": "json"}
            header.update(encoding="utf8", agent="commlib")
            self._mqtt.publish(reply_to, ujson({"header": header, "data": answer}), qos=1)

    def _answer(self, command: str, data: dict[str, Any]) -> dict[str, Any]:
        at_once = data.get("async_backend", True)
        if command == "stop":
            return self._stop(at_once=at_once)
        if command == "status":
            return {"status": 400, "msg": NO_STRATEGY, "data": ""}
        if command == "start":
            return {"status": 400, "msg": NO_STRATEGY}
        if command == "history":
            return {"status": 200, "msg": "", "trades": [] if at_once else self._records.trades}
        if command == "config":
            keys = [key for key, _ in data.get("params", [])]
            why = f"Invalid param key(s): {keys}" if keys else "'NoneType' object has no attribute 'clear_input'"
            return {"changes": [], "config": {}, "status": 400, "msg": why}
        if command == "import":
            known = "'NoneType' object has no attribute 'clear_input'"
            return {"status": 400, "msg": known if data["strategy"] else "Empty strategy_name given!"}
        if command == "balance/limit":
            data["exchange"]
        data["asset"], data["amount"]
        return {"status": 200, "msg": "", "data": None}

    def _stop(self, *, at_once: bool) -> dict[str, Any]:
        if not self._trading:
            return {"status": 200, "msg": ""}
        if self._stopping is None:
            self._log("stop command initiated.")
            self._stopping = threading.Thread(target=self._wind_down, daemon=True)
            self._stopping.start()
        if not at_once:
            self._stopping.join(SYNC_SECONDS)
            if self._stopping.is_alive():
                return {"status": 400, "msg": "Hummingbot stop command timed out after 30 seconds"}
        return {"status": 200, "msg": ""}

    def _wind_down(self) -> None:
        time.sleep(WIND_DOWN_SECONDS)
        with self._lock:
            self._trading = False
            self._say("performance", {controller.id: {} for controller in self._controllers})
            self._log("Hummingbot stopped.")


def main() -> int:
    """Run the bot; as the first process of a container, it has to end by itself when asked to."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        bot = Bot()
    except (Refused, OSError, KeyError) as why:
        sys.stderr.write(f"{type(why).__name__}: {why}\n")
        return 1
    bot.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
