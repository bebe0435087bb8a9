"""Accounts come and go while they trade, all at once: each call is believed, and no account's books suffer."""

import asyncio

import httpx
import psycopg

from tests.contract.serving import CREDENTIALS
from tests.contract.trading import order
from tests.faults.books import database_of, prepare, settle
from tests.faults.conftest import Make
from tests.faults.ledger import Ledger

ACCOUNTS = 8
ROUNDS = 3


async def test_accounts_that_come_and_go_keep_their_books(nectar: Make):
    server = nectar().start()
    names = [f"trader-{number}" for number in range(ACCOUNTS)]
    async with httpx.AsyncClient(base_url=server.url, auth=CREDENTIALS, timeout=30) as client:
        await asyncio.gather(*(_come_and_go(client, name) for name in names))
    for _ in range(2):
        settle(server)
        ledger = Ledger(database_of(server))
        for name in names:
            ledger.check_balances((name, "paper"))
        with psycopg.connect(database_of(server)) as connection:
            in_vault = connection.execute("select account, connector from vault.credentials").fetchall()
            in_log = connection.execute("select account, connector from read.account_connectors").fetchall()
        assert sorted(in_vault) == sorted(in_log)
        assert len(in_log) == ACCOUNTS + 2
        server.kill()
        server.start()


def test_damaged_credentials_keep_their_own_account_out_until_they_are_added_again(nectar: Make):
    server = nectar().start()
    prepare(server)
    with psycopg.connect(database_of(server)) as connection:
        connection.execute("update vault.credentials set encrypted = sha256(encrypted) where account = 'second'")
    server.stop()
    server.start()
    assert "were altered or moved" in server.output()
    with server.client() as client:
        assert client.post("/trading/orders", json=order()).status_code == 201
        assert client.post("/trading/orders", json=order(account_name="second")).status_code == 400
        client.post("/accounts/add-credential/second/paper", json={}).raise_for_status()
        assert client.post("/trading/orders", json=order(account_name="second")).status_code == 201


async def _come_and_go(client: httpx.AsyncClient, name: str) -> None:
    async def post(path: str, **body: object) -> None:
        answer = await client.post(path, json=body or None)
        assert answer.is_success, f"{name} {path}: {answer.status_code} {answer.text}"

    for _ in range(ROUNDS):
        await post(f"/accounts/add-account?account_name={name}")
        for _ in range(ROUNDS):
            await client.post(f"/accounts/add-credential/{name}/paper", json={})
            await post("/trading/orders", **order(account_name=name))
            await post("/trading/orders", **order(account_name=name, order_type="LIMIT", price=20_000))
            await post(f"/accounts/delete-credential/{name}/paper")
        await post(f"/accounts/delete-account?account_name={name}")
    await post(f"/accounts/add-account?account_name={name}")
    await client.post(f"/accounts/add-credential/{name}/paper", json={})
    await post("/trading/orders", **order(account_name=name))
