RULE_KEYS = {
    "min_order_size", "max_order_size", "min_price_increment", "min_base_amount_increment",
    "min_quote_amount_increment", "min_notional_size", "min_order_value", "max_price_significant_digits",
    "supports_limit_orders", "supports_market_orders", "buy_order_collateral_token", "sell_order_collateral_token",
}  # fmt: skip


async def test_a_connector_says_what_it_takes(server):
    assert await server.ask("/connectors/") == ["paper", "paper_perpetual"]
    assert await server.ask("/connectors/paper/order-types") == {
        "connector": "paper",
        "supported_order_types": ["LIMIT", "MARKET", "LIMIT_MAKER"],
    }
    assert await server.ask("/connectors/paper/config-map") == {
        "paper_seed": {"type": "Literal", "required": False, "allowed_values": ["1"]}
    }
    rules = await server.ask("/connectors/paper/trading-rules")
    assert set(rules) == {"BTC-USDT", "ETH-USDT"}
    assert set(rules["BTC-USDT"]) == RULE_KEYS
    assert (rules["BTC-USDT"]["min_order_size"], rules["BTC-USDT"]["max_order_size"]) == (1e-05, 1e56)
    assert list(await server.ask("/connectors/paper/trading-rules?trading_pairs=ETH-USDT&trading_pairs=X-Y")) == [
        "ETH-USDT"
    ]


async def test_an_unknown_connector_is_not_found(server):
    for what in ("order-types", "config-map", "trading-rules"):
        answer = await server.ask(f"/connectors/nope/{what}", status=404)
        assert answer == {"detail": "Connector 'nope' not found"}
