"""Connectors under Hummingbot's names, and the fields that their credentials have.

The fields are those of Hummingbot's config maps (hummingbot 20260922), in their order.
"""

from collections.abc import Mapping

import msgspec

from domain.connectors import ConfigField
from domain.errors import Invalid, NotFound

SECRET = ConfigField(type="SecretStr", required=True)
FLAG = ConfigField(type="bool", required=False)


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """A connector by its name. `fields` are those of its credentials."""

    name: str
    perpetual: bool = False
    fields: Mapping[str, ConfigField] = {}


def _choice(*values: str) -> ConfigField:
    return ConfigField(type="Literal", required=False, allowed_values=list(values))


CONNECTORS: Mapping[str, Connector] = {
    connector.name: connector
    for connector in (
        Connector(name="paper"),
        Connector(name="paper_perpetual", perpetual=True),
        Connector(name="binance", fields={"binance_api_key": SECRET, "binance_api_secret": SECRET}),
        Connector(
            name="binance_perpetual",
            perpetual=True,
            fields={"binance_perpetual_api_key": SECRET, "binance_perpetual_api_secret": SECRET},
        ),
        Connector(
            name="coinbase_advanced_trade",
            fields={
                "use_auth_for_public_endpoints": FLAG,
                "coinbase_advanced_trade_api_key": SECRET,
                "coinbase_advanced_trade_api_secret": SECRET,
            },
        ),
        Connector(
            name="hyperliquid_perpetual",
            perpetual=True,
            fields={
                "hyperliquid_perpetual_mode": _choice("arb_wallet", "api_wallet"),
                "use_vault": FLAG,
                "hyperliquid_perpetual_address": SECRET,
                "hyperliquid_perpetual_secret_key": SECRET,
            },
        ),
        Connector(
            name="kucoin",
            fields={"kucoin_api_key": SECRET, "kucoin_secret_key": SECRET, "kucoin_passphrase": SECRET},
        ),
        Connector(
            name="okx",
            fields={
                "okx_api_key": SECRET,
                "okx_secret_key": SECRET,
                "okx_passphrase": SECRET,
                "okx_registration_sub_domain": _choice("www", "app", "my"),
            },
        ),
    )
}


def connector(name: str) -> Connector:
    """Return a connector. Raises `NotFound`."""
    found = CONNECTORS.get(name)
    if found is None:
        raise NotFound(f"Connector '{name[:64]}' not found")
    return found


def check_credentials(name: str, credentials: Mapping[str, object]) -> None:
    """Check that credentials have the connector's fields, each of its type.

    Raises `Invalid` for an unknown connector, or naming the field that is unknown, missing or wrong; a value never
    stands in a message.
    """
    known = CONNECTORS.get(name)
    if known is None:
        raise Invalid(f"Connector '{name[:64]}' not found")
    for field in credentials:
        if field not in known.fields:
            fields = ", ".join(known.fields) or "none"
            raise Invalid(f"Connector '{name}' has no credential field '{field[:64]}'. Its fields: {fields}")
    for field, wanted in known.fields.items():
        if field in credentials:
            _check(name, field, wanted, credentials[field])
        elif wanted.required:
            raise Invalid(f"Credential field '{field}' of connector '{name}' is missing")


def _check(name: str, field: str, wanted: ConfigField, value: object) -> None:
    where = f"Credential field '{field}' of connector '{name}'"
    if wanted.allowed_values is not None:
        if value not in wanted.allowed_values:
            raise Invalid(f"{where} must be one of {', '.join(wanted.allowed_values)}")
    elif wanted.type == "bool":
        if not isinstance(value, bool):
            raise Invalid(f"{where} must be true or false")
    elif not isinstance(value, str) or not value:
        raise Invalid(f"{where} must be a text that is not empty")
