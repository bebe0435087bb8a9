from tests.projections.given import account, disconnected, removed


async def test_accounts_and_connectors_are_listed_in_the_order_in_which_they_came(server):
    assert await server.ask("/accounts/") == []
    await server.told([*account("master_account", "paper_perpetual", "binance"), *account("acc2")])
    assert await server.ask("/accounts") == ["master_account", "acc2"]
    assert await server.ask("/accounts/master_account/credentials") == ["paper_perpetual", "binance"]
    assert await server.ask("/accounts/acc2/credentials") == []


async def test_what_is_removed_is_gone_and_may_come_back(server):
    await server.told([*account("master_account", "paper", "binance"), *account("acc2", "paper")])
    await server.told([disconnected("master_account", "paper"), removed("acc2")])
    assert await server.ask("/accounts/master_account/credentials") == ["binance"]
    assert await server.ask("/accounts/") == ["master_account"]
    await server.told([*account("acc2", "okx")])
    assert await server.ask("/accounts/acc2/credentials") == ["okx"]


async def test_an_unknown_account_has_no_credentials_to_list(server):
    assert await server.ask("/accounts/nobody/credentials", status=404) == {"detail": "Account 'nobody' not found"}
