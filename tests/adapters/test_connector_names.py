"""The table of connectors against ccxt: every row can be served, and every credential field leads somewhere."""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from adapters.exchanges.ccxt_lazily import exchange_class
from adapters.exchanges.clients import VenueClient
from adapters.exchanges.names import CONNECTORS, Connector, check_credentials, connector, credentials_for
from adapters.exchanges.wallet_keys import private_key
from domain.errors import Invalid, NotFound
from tests.layout.sources import ROOT, imports_of

GOLDEN = Path(__file__).parents[1] / "contract" / "golden" / "connectors" / "list_connectors.json"
DOCUMENT = ROOT / "docs" / "exchanges.md"

REAL = {name: known for name, known in CONNECTORS.items() if known.exchange_id}
TESTNETS = {name: known for name, known in REAL.items() if known.sandbox}

# What no connector can do without.
NEEDED = ("createOrder", "cancelOrder", "fetchBalance", "fetchMarkets", "fetchOpenOrders", "fetchOrder")
# What is called where it is there, and what its absence means to a reader.
WANTED = {
    "fetchMyTrades": "no list of trades",
    "fetchTickers": "no prices of all pairs at once",
    "fetchTime": "no clock of the venue's",
    "watchOrders": "no stream of orders",
    "watchMyTrades": "no stream of trades",
    "watchBalance": "no stream of balances",
    "watchOrderBook": "no stream of order books",
    "watchTrades": "no stream of the market's trades",
}
NEEDED_OF_PERPETUALS = ("fetchPositions",)
WANTED_OF_PERPETUALS = {
    "watchPositions": "no stream of positions",
    "setLeverage": "leverage cannot be set",
    "setPositionMode": "position mode cannot be set",
    "fetchFundingHistory": "no list of funding payments",
}

PHRASE = "abandon " * 11 + "about"
PHRASE_KEY = "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104"
KEY = "0x" + "46" * 32
KEY_ADDRESS = "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"


@functools.cache
def exchange(name: str):
    """Return the exchange object of a connector without credentials."""
    return exchange_class(REAL[name].exchange_id)(credentials_for(REAL[name], None))


def some_credentials(known: Connector) -> dict[str, object]:
    """Return credentials that have every field, each with a value of its own."""
    return {field: some_value(known, field) for field in known.fields}


def some_value(known: Connector, field: str) -> object:
    config = known.fields[field]
    if config.allowed_values is not None:
        return config.allowed_values[-1]
    if config.type == "bool":
        return True
    by_attribute = {"options.subaccount_id": "30769", "options.privateKey": PHRASE, "privateKey": KEY}
    return by_attribute.get(known.credentials.get(field, ""), f"value of {field}")


def wanted_of(known: Connector) -> dict[str, str]:
    return {**WANTED, **(WANTED_OF_PERPETUALS if known.perpetual else {})}


def is_implemented(cls: type, capability: str) -> bool:
    """Whether a class of ccxt has a method of its own for what it says that it has."""
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", capability).lower()
    base = next(parent for parent in cls.__mro__ if parent.__module__.startswith("ccxt.async_support.base"))
    return getattr(cls, method) is not getattr(base, method)


@pytest.mark.parametrize("name", REAL)
def test_ccxt_has_the_methods_that_we_call(name):
    known, made = REAL[name], exchange(name)
    assert made.id == known.exchange_id
    needed = (*NEEDED, *(NEEDED_OF_PERPETUALS if known.perpetual else ()))
    missing = {capability for capability in (*needed, *wanted_of(known)) if not made.has.get(capability)}
    assert missing == known.without
    assert not missing & set(needed)
    for capability in (*needed, *wanted_of(known)):
        # What ccxt answers by another of its calls (`emulated`) may be no method of its own.
        if made.has.get(capability) is True:
            assert is_implemented(type(made), capability), capability


@pytest.mark.parametrize("name", REAL)
def test_ccxt_serves_the_market(name):
    known, made = REAL[name], exchange(name)
    assert known.market == ("swap" if known.perpetual else "spot")
    assert made.has[known.market]
    assert made.options["defaultType"] == known.market


@pytest.mark.parametrize("name", REAL)
def test_every_field_is_used_or_named_as_unused(name):
    known = REAL[name]
    homes = [known.credentials, known.choices, known.unused]
    assert sorted(field for home in homes for field in home) == sorted(known.fields)
    for field, values in known.choices.items():
        assert list(values) == known.fields[field].allowed_values
    assert all(known.unused.values())


@pytest.mark.parametrize("name", REAL)
def test_what_ccxt_requires_is_fed_by_required_fields(name):
    known, made = REAL[name], exchange(name)
    fed = {attribute for field, attribute in known.credentials.items() if known.fields[field].required}
    if known.wallet_from_key:
        assert "privateKey" in fed
        fed.add("walletAddress")
    assert {required for required, it_is in made.requiredCredentials.items() if it_is} <= fed
    # An attribute that the class does not have would be set and never read.
    attributes = {attribute for attribute in known.credentials.values() if not attribute.startswith("options.")}
    assert attributes <= set(made.requiredCredentials)
    assert len(set(known.credentials.values())) == len(known.credentials)


@pytest.mark.parametrize("name", REAL)
def test_ccxt_takes_the_credentials(name):
    known = REAL[name]
    given = some_credentials(known)
    made = exchange_class(known.exchange_id)(credentials_for(known, given))
    if known.wallet_from_key:
        made.walletAddress = made.eth_get_address_from_private_key(made.privateKey)
        assert made.walletAddress == KEY_ADDRESS
    made.check_required_credentials()
    for field, attribute in known.credentials.items():
        if attribute in ("apiKey", "secret", "password", "uid", "privateKey", "walletAddress"):
            assert getattr(made, attribute) == given[field]
    for option, value in known.options.items():
        assert made.options[option] == value
    for method in (*known.muted, *known.prepare):
        assert callable(getattr(made, method))


@pytest.mark.parametrize("name", TESTNETS)
def test_a_testnet_is_the_connector_at_other_addresses(name):
    known, of = TESTNETS[name], REAL[name.removesuffix("_testnet")]
    made = exchange_class(known.exchange_id)(credentials_for(known, some_credentials(known)))
    real = json.dumps(made.urls["api"], sort_keys=True)
    made.set_sandbox_mode(True)
    # Bitget's is at the same address and told by a header, which the option sends.
    assert made.options.get("sandboxMode") or json.dumps(made.urls["api"], sort_keys=True) != real
    assert "test" in made.urls or made.options["sandboxMode"]
    assert list(known.fields.values()) == list(of.fields.values())
    assert list(known.credentials.values()) == list(of.credentials.values())
    assert not any(field.startswith(f"{of.name}_") for field in known.fields if not field.startswith(f"{name}_"))


def test_hummingbots_testnets_have_hummingbots_fields():
    assert list(CONNECTORS["binance_perpetual_testnet"].fields) == [
        "binance_perpetual_testnet_api_key",
        "binance_perpetual_testnet_api_secret",
    ]
    assert list(CONNECTORS["hyperliquid_testnet"].fields) == [
        "hyperliquid_testnet_mode",
        "use_vault",
        "hyperliquid_testnet_address",
        "hyperliquid_testnet_secret_key",
    ]
    assert list(CONNECTORS["derive_perpetual_testnet"].fields) == [
        "derive_perpetual_testnet_wallet_address",
        "session_private_key",
        "subacct_id",
        "account_type",
    ]


@pytest.mark.parametrize(
    ("region", "host", "stream"),
    [
        ("www", "www.okx.com", "wss://ws.okx.com"),
        ("app", "us.okx.com", "wss://wsus.okx.com"),
        ("my", "eea.okx.com", "wss://wseea.okx.com"),
    ],
)
def test_an_okx_region_has_its_own_hosts(region, host, stream):
    given = {"okx_api_key": "k", "okx_secret_key": "s", "okx_passphrase": "p", "okx_registration_sub_domain": region}
    made = exchange_class("okx")(credentials_for(connector("okx"), given))
    assert made.hostname == host
    assert made.urls["api"]["rest"] == "https://{hostname}"
    assert made.urls["api"]["ws"].startswith(stream)


def test_okx_regions_are_those_of_ccxts_regional_classes():
    given = {"okx_api_key": "k", "okx_secret_key": "s", "okx_passphrase": "p"}
    for region, regional in (("app", "okxus"), ("my", "myokx")):
        ours = exchange_class("okx")(
            credentials_for(connector("okx"), {**given, "okx_registration_sub_domain": region})
        )
        theirs = exchange_class(regional)()
        assert ours.hostname == theirs.hostname
        assert [ours.urls[at]["ws"] for at in ("api", "test")] == [theirs.urls[at]["ws"] for at in ("api", "test")]


@pytest.mark.parametrize("vault", [True, False, None])
def test_hyperliquid_signs_for_a_vault_only_when_told(vault):
    given = {"hyperliquid_address": "HL:0xabc", "hyperliquid_secret_key": KEY}
    if vault is not None:
        given["use_vault"] = vault
    config = credentials_for(connector("hyperliquid"), given)
    assert config["walletAddress"] == "0xabc"
    assert config["options"].get("vaultAddress") == ("0xabc" if vault else None)


@pytest.mark.parametrize("name", ["hyperliquid", "hyperliquid_perpetual", "pacifica_perpetual"])
def test_no_fee_is_paid_to_ccxt(name):
    assert exchange(name).options["builderFee"] is False
    assert "handle_builder_fee_approval" in REAL[name].muted


def test_no_other_exchange_has_a_fee_of_ccxts():
    charging = {name for name in REAL if "builderFee" in exchange(name).options}
    assert charging == {name for name in REAL if REAL[name].muted}


def test_a_client_of_derive_signs_as_the_session_keys_wallet():
    known = connector("derive_testnet")
    client = VenueClient(known, credentials=some_credentials(known))
    assert client.exchange.walletAddress == KEY_ADDRESS
    assert client.exchange.options["deriveWalletAddress"] == "value of derive_testnet_wallet_address"


def test_derive_signs_with_the_session_key_for_the_wallet_that_owns_the_account():
    config = credentials_for(
        connector("derive"),
        {
            "derive_wallet_address": "0xowner",
            "session_private_key": KEY,
            "subacct_id": "30769",
            "account_type": "trader",
        },
    )
    assert config["privateKey"] == KEY
    assert config["options"]["deriveWalletAddress"] == "0xowner"
    assert config["options"]["subaccount_id"] == 30769


def test_an_optional_field_may_be_empty():
    known = connector("pacifica_perpetual")
    given = {**some_credentials(known), "pacifica_perpetual_api_config_key": ""}
    assert "apiKey" not in credentials_for(known, given)["options"]


def test_a_phrase_gives_the_key_of_its_first_address():
    # Its address is cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4.
    assert private_key(PHRASE) == PHRASE_KEY
    assert private_key(f"  {PHRASE.replace(' ', '  ')}\n") == PHRASE_KEY
    known = connector("dydx_v4_perpetual")
    config = credentials_for(known, some_credentials(known))
    assert config["options"]["privateKey"] == PHRASE_KEY
    assert PHRASE not in repr(config)


def test_dydx_signs_with_the_key_of_the_phrase():
    known = connector("dydx_v4_perpetual")
    made = exchange_class("dydx")(credentials_for(known, some_credentials(known)))
    key = made.retrieve_credentials()["privateKey"]
    assert key == PHRASE_KEY
    order = {"orderId": {"subaccountId": {"owner": "dydx1", "number": 0}, "clientId": 5, "clobPairId": 0}, "side": 1}
    message = {"typeUrl": "/dydxprotocol.clob.MsgPlaceOrder", "value": {"order": order}}
    account = {"account_number": "1", "sequence": "2", "pub_key": {"key": "A" * 44}}
    signed = made.sign_dydx_tx(key, message, "", "dydx-mainnet-1", account, None)
    assert b"MsgPlaceOrder" in bytes.fromhex(signed.removeprefix("0x"))


def test_mexcs_streams_can_be_read():
    assert exchange("mexc").decode_proto_msg(b"\n\x04spot") == {"channel": "spot"}


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        (
            "dydx_v4_perpetual",
            "dydx_v4_perpetual_secret_phrase",
            "two words",
            "'dydx_v4_perpetual': A secret phrase has 12, 15, 18, 21, 24 words, not 2",
        ),
        ("derive", "subacct_id", "main", "Credential field 'subacct_id' of connector 'derive' must be a whole number"),
        ("derive", "session_private_key", "0x" + "f" * 64, "must be a private key of 64 hexadecimal digits"),
        ("hyperliquid", "hyperliquid_secret_key", "0xabc", "must be a private key of 64 hexadecimal digits"),
        ("bing_x", "bingx_api_key", None, "'bingx_api_key' of connector 'bing_x' must be a text that is not empty"),
        ("kraken", "kraken_api_tier", 3, "'kraken_api_tier' of connector 'kraken' must be a text"),
    ],
)
def test_credentials_that_ccxt_could_not_use_are_refused(name, field, value, message):
    given = {**some_credentials(connector(name)), field: value}
    for refuse in (lambda: check_credentials(name, given), lambda: credentials_for(connector(name), given)):
        with pytest.raises(Invalid, match=re.escape(message)):
            refuse()


@pytest.mark.parametrize("name", REAL)
def test_every_real_connector_can_be_traded_on_paper(name):
    real, paper = REAL[name], connector(f"{name}_paper_trade")
    assert paper.paper_trade_of == name
    assert paper.name == f"{name}_paper_trade"
    same = ("exchange_id", "market", "perpetual", "options", "muted", "sandbox", "without")
    assert [getattr(paper, field) for field in same] == [getattr(real, field) for field in same]
    assert paper.fields == paper.credentials == paper.choices == paper.unused == {}
    check_credentials(paper.name, {})
    with pytest.raises(Invalid, match=r"has no credential field 'key'\. Its fields: none"):
        check_credentials(paper.name, {"key": "k"})


@pytest.mark.parametrize(
    "name", ["nope_paper_trade", "paper_paper_trade", "binance_paper_trade_paper_trade", "_paper_trade"]
)
def test_nothing_else_is_traded_on_paper(name):
    with pytest.raises(NotFound, match=f"Connector '{name}' not found"):
        connector(name)
    with pytest.raises(Invalid, match=f"Connector '{name}' not found"):
        check_credentials(name, {})


def test_paper_trading_is_not_listed():
    assert not [name for name in CONNECTORS if name.endswith("_paper_trade")]
    assert [*CONNECTORS][:2] == ["paper", "paper_perpetual"]


def test_a_kucoin_account_is_asked_of_which_kind_it_is():
    # ccxt asks while it loads markets with keys, and without an answer trades from the account of the older kind.
    for name, options in (("kucoin", {}), ("kucoin_hft", {"hf": True})):
        assert REAL[name].options == options
        assert REAL[name].prepare == (() if options else ("load_migration_status",))


def test_every_row_survives_the_wire():
    for known in CONNECTORS.values():
        decoded = msgspec.json.decode(msgspec.json.encode(known), type=Connector)
        assert decoded == known


def test_names_need_no_ccxt():
    for file in ("names.py", "wallet_keys.py"):
        path = (ROOT / "adapters" / "exchanges" / file).relative_to(ROOT)
        assert not [name for name in imports_of(path) if name.startswith("ccxt")]


def test_each_of_the_references_connectors_is_served_or_the_reason_is_written_down():
    document = DOCUMENT.read_text(encoding="utf-8")
    not_served = document[document.index("## Not served") :]
    for name in json.loads(GOLDEN.read_text(encoding="utf-8"))["body"]:
        assert (name in CONNECTORS) != (f"`{name}`" in not_served), name


def test_the_document_shows_the_table_as_it_is():
    document = DOCUMENT.read_text(encoding="utf-8")
    for block in (table(), table_of_testnets()):
        assert block in document, f"docs/exchanges.md is to have this table:\n{block}"


def table() -> str:
    rows = [
        (f"`{known.name}`", f"`{known.exchange_id}`", known.market, fields_of(known), differences(known))
        for known in REAL.values()
        if not known.sandbox
    ]
    return markdown(("Connector", "ccxt", "Market", "Credential fields", "What is different"), rows)


def table_of_testnets() -> str:
    rows = [(f"`{known.name}`", fields_of(known)) for known in TESTNETS.values()]
    return markdown(("Testnet", "Credential fields"), rows)


def markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def fields_of(known: Connector) -> str:
    return ", ".join(f"`{field}`" if config.required else f"`{field}`?" for field, config in known.fields.items())


def differences(known: Connector) -> str:
    facts = [words for capability, words in wanted_of(known).items() if capability in known.without]
    facts += [f"`{field}` is not used: {reason}" for field, reason in known.unused.items()]
    if known.wallet_from_key:
        facts.append("the wallet that signs is the session key's")
    if known.muted:
        facts.append("ccxt's builder fee is off")
    return "; ".join(facts)
