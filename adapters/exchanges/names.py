"""Connectors under Hummingbot's names: which exchange of ccxt serves each, and what its credentials are called.

The fields are those of Hummingbot's config maps (hummingbot 20260922), in their order; where Hummingbot has no testnet
and ccxt has one, its fields follow the rule of those that there are. What ccxt can do is that of ccxt 4.5.90, and
`tests/adapters/test_connector_names.py` holds every row of the table against it.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from adapters.exchanges.wallet_keys import is_private_key, private_key
from domain.connectors import ConfigField
from domain.errors import Invalid, NotFound

PAPER_TRADE = "_paper_trade"
"""What a name ends in when the connector trades on paper, on the real market of the one before it."""

SECRET = ConfigField(type="SecretStr", required=True)
OPTIONAL_SECRET = ConfigField(type="SecretStr", required=False)
FLAG = ConfigField(type="bool", required=False)

Market = Literal["spot", "swap"]


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """A connector by its name. `fields` are those of its credentials.

    A field is in `credentials` (field → attribute of the exchange object, or `options.<name>`), in `choices`, or in
    `unused` with the reason why ccxt has no use for it.
    """

    name: str
    perpetual: bool = False
    fields: Mapping[str, ConfigField] = {}
    exchange_id: str = ""  # ccxt's; "" for the paper venue
    market: Market = "spot"
    credentials: Mapping[str, str] = {}
    choices: Mapping[str, Mapping[str, Mapping[str, Any]]] = {}  # field → value → what it configures
    unused: Mapping[str, str] = {}
    options: Mapping[str, Any] = {}  # ccxt options that are always set
    muted: tuple[str, ...] = ()  # methods that ccxt runs by itself on the user's behalf and that are not to run
    prepare: tuple[str, ...] = ()  # methods that ccxt runs with an account's keys when it loads markets for them alone
    wallet_from_key: bool = False  # walletAddress is the address of privateKey, which ccxt computes
    quotes: Mapping[str, str] = {}  # ccxt's quote → Hummingbot's word for it in trading pairs
    order_milliseconds: float | None = None  # between two orders, where ccxt holds them apart for much longer
    sandbox: bool = False  # ccxt's `set_sandbox_mode` is to be called
    without: frozenset[str] = frozenset()  # of what we would call, in ccxt's words, what ccxt does not have here
    paper_trade_of: str = ""  # the connector whose market this one trades on paper


# Hummingbot's endings of field names → ccxt's attributes.
_ATTRIBUTES = {
    "api_key": "apiKey",
    "api_secret": "secret",
    "secret_key": "secret",
    "passphrase": "password",
    "user_id": "uid",
    "chain_address": "walletAddress",
    "secret_phrase": "options.privateKey",
}
_API_SECRET = ("api_key", "api_secret")
_SECRET_KEY = ("api_key", "secret_key")
_PASSPHRASE = ("api_key", "secret_key", "passphrase")

_DOLLARS = {"USDC": "USD"}
_VAULT = "options.vaultAddress"
_PHRASE = "options.privateKey"
_NUMBERS = frozenset({"options.subaccount_id"})
_ON_ONE_LINE = frozenset({"apiKey", "password"})  # they are sent in headers
_HEX_KEYS = frozenset({"hyperliquid", "derive"})


def _choice(*values: str) -> ConfigField:
    return ConfigField(type="Literal", required=False, allowed_values=list(values))


def _row(
    name: str,
    exchange_id: str,
    keys: tuple[str, ...],
    *without: str,
    prefix: str = "",
    first: Mapping[str, ConfigField] = {},
    last: Mapping[str, ConfigField] = {},
    credentials: Mapping[str, str] = {},
    **rest: Any,  # noqa: ANN401 - the other fields of Connector
) -> Connector:
    """Return a connector whose credentials are `keys`, all secret, with the fields `first` before and `last` after."""
    named = {f"{prefix or name}_{key}": _ATTRIBUTES[key] for key in keys}
    perpetual = name.endswith("_perpetual")
    return Connector(
        name=name,
        perpetual=perpetual,
        market="swap" if perpetual else "spot",
        exchange_id=exchange_id,
        fields={**first, **dict.fromkeys(named, SECRET), **last},
        credentials={**named, **credentials},
        without=frozenset(without),
        **rest,
    )


def _hyperliquid(name: str, *without: str) -> Connector:
    mode, address, key = f"{name}_mode", f"{name}_address", f"{name}_secret_key"
    return _row(
        name,
        "hyperliquid",
        (),
        *without,
        first={mode: _choice("arb_wallet", "api_wallet"), "use_vault": FLAG, address: SECRET, key: SECRET},
        credentials={"use_vault": _VAULT, address: "walletAddress", key: "privateKey"},
        unused={mode: "address and key say it: the key is the wallet's own or one that the wallet has approved"},
        # By itself ccxt has the wallet approve ccxt as a builder and adds the builder's fee to every order.
        options={"builderFee": False, "feeInt": 0, "refSet": True},
        muted=("handle_builder_fee_approval", "set_ref"),
        quotes=_DOLLARS if name.endswith("_perpetual") else {},
    )


def _derive(name: str, *without: str) -> Connector:
    wallet = f"{name}_wallet_address"
    return _row(
        name,
        "derive",
        (),
        *without,
        first=dict.fromkeys((wallet, "session_private_key", "subacct_id", "account_type"), SECRET),
        credentials={
            wallet: "options.deriveWalletAddress",
            "session_private_key": "privateKey",
            "subacct_id": "options.subaccount_id",
        },
        unused={"account_type": "it raises the rate limit of market makers; ccxt keeps to that of traders"},
        wallet_from_key=True,  # the owner's address is another one: a session key signs for it
    )


def _pacifica(name: str, *without: str) -> Connector:
    agent, key, user = (
        f"{name}_{part}_key" for part in ("agent_wallet_public", "agent_wallet_private", "user_wallet_public")
    )
    return _row(
        name,
        "pacifica",
        (),
        *without,
        first=dict.fromkeys((agent, key, user), SECRET),
        last={f"{name}_api_config_key": OPTIONAL_SECRET},
        credentials={
            agent: "options.agentAddress",
            key: "privateKey",
            user: "walletAddress",
            f"{name}_api_config_key": "options.apiKey",
        },
        options={"builderFee": False},  # else ccxt has the user approve a fee for ccxt and adds it to every order
        muted=("handle_builder_fee_approval",),
    )


# The region in which an OKX account is registered has hosts of its own.
_OKX_REGIONS: Mapping[str, Mapping[str, Any]] = {
    "www": {},
    "app": {
        "hostname": "us.okx.com",
        "urls": {"api": {"ws": "wss://wsus.okx.com:443/ws/v5"}, "test": {"ws": "wss://wsuspap.okx.com:443/ws/v5"}},
    },
    "my": {
        "hostname": "eea.okx.com",
        "urls": {"api": {"ws": "wss://wseea.okx.com:443/ws/v5"}, "test": {"ws": "wss://wseeapap.okx.com:443/ws/v5"}},
    },
}

_POLLED = ("watchOrders", "watchMyTrades", "watchBalance", "watchOrderBook", "watchTrades")


def _one_kind(kind: str) -> dict[str, dict[str, str]]:
    """Return options by which OKX's streams tell of one kind of market alone: ccxt cannot read what is not loaded."""
    return {"watchOrders": {"type": kind}, "watchMyTrades": {"type": kind}}


_REAL = (
    _row("binance", "binance", _API_SECRET),
    _row("binance_us", "binanceus", _API_SECRET),
    # 1,200 orders a minute (Binance USD-M futures API, "Limits", 2026-03); ccxt sends a quarter of that.
    _row("binance_perpetual", "binanceusdm", _API_SECRET, order_milliseconds=50.0),
    _row("okx", "okx", _PASSPHRASE, last={"okx_registration_sub_domain": _choice("www", "app", "my")},
         choices={"okx_registration_sub_domain": _OKX_REGIONS}, options=_one_kind("SPOT")),
    _row("okx_perpetual", "okx", _PASSPHRASE, options=_one_kind("SWAP")),
    _row("bybit", "bybit", _API_SECRET),
    _row("bybit_perpetual", "bybit", _SECRET_KEY),
    _row("kucoin", "kucoin", _PASSPHRASE, prepare=("load_migration_status",)),
    _row("kucoin_hft", "kucoin", _PASSPHRASE, options={"hf": True}),
    _row("kucoin_perpetual", "kucoinfutures", _PASSPHRASE),
    _row("gate_io", "gate", _SECRET_KEY),
    _row("gate_io_perpetual", "gate", ("api_key", "secret_key", "user_id")),
    _row("kraken", "kraken", _SECRET_KEY, last={"kraken_api_tier": ConfigField(type="str", required=False)},
         unused={"kraken_api_tier": "ccxt keeps to the rate limit of the lowest tier"}),
    _row("coinbase_advanced_trade", "coinbase", _API_SECRET, "watchMyTrades", "watchBalance",
         first={"use_auth_for_public_endpoints": FLAG},
         credentials={"use_auth_for_public_endpoints": "options.usePrivate"}),
    _hyperliquid("hyperliquid"),
    _hyperliquid("hyperliquid_perpetual", "setPositionMode"),
    _row("bitget", "bitget", _PASSPHRASE),
    _row("bitget_perpetual", "bitget", _PASSPHRASE),
    _row("htx", "htx", _SECRET_KEY),
    _row("mexc", "mexc", _API_SECRET),
    _row("bitstamp", "bitstamp", _API_SECRET, "fetchTime", "watchBalance"),
    _row("bing_x", "bingx", _API_SECRET, prefix="bingx"),
    _row("bitrue", "bitrue", _API_SECRET, "watchMyTrades"),
    _row("gemini", "gemini", _API_SECRET, "fetchTime", "watchMyTrades", "watchBalance"),
    _row("btc_markets", "btcmarkets", _API_SECRET, "fetchTickers", *_POLLED),
    _row("foxbit", "foxbit", _API_SECRET, "fetchTime", *_POLLED, last={"foxbit_user_id": SECRET},
         unused={"foxbit_user_id": "the venue's present API knows the user by the key"}),
    _row("backpack", "backpack", _API_SECRET, "watchMyTrades"),
    _row("backpack_perpetual", "backpack", _API_SECRET, "watchMyTrades", "setLeverage", "setPositionMode",
         prefix="backpack"),
    _derive("derive", "fetchTickers"),
    _derive("derive_perpetual", "fetchTickers", "setLeverage", "setPositionMode"),
    _row("dydx_v4_perpetual", "dydx", ("secret_phrase", "chain_address"), "fetchMyTrades", "fetchTickers",
         "watchOrders", "watchMyTrades", "watchBalance", "watchPositions",
         "setLeverage", "setPositionMode", "fetchFundingHistory", quotes=_DOLLARS),
    _pacifica("pacifica_perpetual", "fetchTime", "watchBalance", "watchPositions", "setPositionMode"),
)  # fmt: skip

# Of these ccxt knows a testnet that trades what the connector trades, streams included: Gate.io's has none for spot.
_WITH_TESTNET = frozenset({
    "binance", "binance_perpetual", "okx", "okx_perpetual", "bybit", "bybit_perpetual", "gate_io_perpetual",
    "hyperliquid", "hyperliquid_perpetual", "bitget", "bitget_perpetual", "gemini", "derive", "derive_perpetual",
    "dydx_v4_perpetual", "pacifica_perpetual",
})  # fmt: skip


def _testnet(of: Connector) -> Connector:
    """Return the testnet of a connector. Fields that begin with the connector's name begin with the testnet's."""
    name = f"{of.name}_testnet"

    def own(field: str) -> str:
        return name + field.removeprefix(of.name) if field.startswith(f"{of.name}_") else field

    return msgspec.structs.replace(
        of,
        name=name,
        sandbox=True,
        fields={own(field): config for field, config in of.fields.items()},
        credentials={own(field): attribute for field, attribute in of.credentials.items()},
        choices={own(field): values for field, values in of.choices.items()},
        unused={own(field): reason for field, reason in of.unused.items()},
    )


CONNECTORS: Mapping[str, Connector] = {
    known.name: known
    for known in (
        Connector(name="paper"),
        Connector(name="paper_perpetual", perpetual=True, market="swap"),
        *_REAL,
        *(_testnet(real) for real in _REAL if real.name in _WITH_TESTNET),
    )
}
"""The connectors that are listed. `<connector>_paper_trade` is known for each real one, and not listed."""


def connector(name: str) -> Connector:
    """Return a connector. Raises `NotFound`."""
    found = _find(name)
    if found is None:
        raise NotFound(f"Connector '{name[:64]}' not found")
    return found


def check_credentials(name: str, credentials: Mapping[str, object]) -> None:
    """Check that credentials have the connector's fields, each of its type.

    Raises `Invalid` for an unknown connector, or naming the field that is unknown, missing or wrong; a value never
    stands in a message.
    """
    known = _find(name)
    if known is None:
        raise Invalid(f"Connector '{name[:64]}' not found")
    for field in credentials:
        if field not in known.fields:
            fields = ", ".join(known.fields) or "none"
            raise Invalid(f"Connector '{name}' has no credential field '{field[:64]}'. Its fields: {fields}")
    for field, wanted in known.fields.items():
        if field in credentials:
            _check(known, field, wanted, credentials[field])
        elif wanted.required:
            raise Invalid(f"Credential field '{field}' of connector '{name}' is missing")


def credentials_for(known: Connector, credentials: Mapping[str, object] | None) -> dict[str, Any]:
    """Return what ccxt's exchange object is made with; without credentials what concerns the connector alone.

    The credentials are those that `check_credentials` lets pass. Raises `Invalid` for those that it would not.
    """
    config: dict[str, Any] = {}
    options: dict[str, Any] = {"defaultType": known.market, **known.options}
    if credentials is not None:
        check_credentials(known.name, credentials)
        for field, value in credentials.items():
            if value == "":
                continue
            if field in known.choices:
                config |= known.choices[field][str(value)]
            elif field in known.credentials:
                attribute = known.credentials[field]
                target = options if attribute.startswith("options.") else config
                target[attribute.removeprefix("options.")] = _as_ccxt_wants(attribute, value)
        # The address that was given is the vault's: it is asked about, and what is signed is signed for it.
        if _VAULT in known.credentials.values() and options.pop("vaultAddress", False):
            options["vaultAddress"] = config["walletAddress"]
    return {**config, "options": options}


def _find(name: str) -> Connector | None:
    real = CONNECTORS.get(name.removesuffix(PAPER_TRADE))
    if not name.endswith(PAPER_TRADE) or real is None:
        return real
    if not real.exchange_id:
        return None
    # Prices need no keys, so nothing of the credentials is left.
    return Connector(
        name=name,
        perpetual=real.perpetual,
        exchange_id=real.exchange_id,
        market=real.market,
        options=real.options,
        muted=real.muted,
        sandbox=real.sandbox,
        without=real.without,
        paper_trade_of=real.name,
    )


def _as_ccxt_wants(attribute: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if attribute == _PHRASE:
        return private_key(value)
    if attribute in _NUMBERS:
        return int(value)
    # Hyperliquid's own pages write an address with the name of the chain before it.
    return value.removeprefix("HL:") if attribute == "walletAddress" else value


def _check(known: Connector, field: str, wanted: ConfigField, value: object) -> None:
    where = f"Credential field '{field}' of connector '{known.name}'"
    if wanted.allowed_values is not None:
        if value not in wanted.allowed_values:
            raise Invalid(f"{where} must be one of {', '.join(wanted.allowed_values)}")
    elif wanted.type == "bool":
        if not isinstance(value, bool):
            raise Invalid(f"{where} must be true or false")
    elif not isinstance(value, str) or not (value or not wanted.required):
        raise Invalid(f"{where} must be a text that is not empty")
    elif known.credentials.get(field) in _ON_ONE_LINE and not value.isprintable():
        raise Invalid(f"{where} must be on one line, of characters that can be printed")
    elif known.credentials.get(field) in _NUMBERS and not (value.isascii() and value.isdecimal()):
        raise Invalid(f"{where} must be a whole number")
    elif known.credentials.get(field) == "privateKey" and known.exchange_id in _HEX_KEYS and not is_private_key(value):
        raise Invalid(f"{where} must be a private key of 64 hexadecimal digits")
    elif known.credentials.get(field) == _PHRASE:
        try:
            private_key(value)
        except Invalid as wrong:
            raise Invalid(f"{where}: {wrong.message}") from wrong
