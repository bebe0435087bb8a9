"""The vault's port: one suite for the real one and its fake, then what only the real one promises."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from adapters.vault import Cost, DamagedVault, Vault, WrongPassword
from commands import ports
from domain.errors import Unavailable
from tests.fakes.vault import MemoryVault

CHEAP = Cost(n=2, r=1, p=1)
KEYS = {"api_key": "k-8f3a", "api_secret": "s-é-77", "use_testnet": True}


async def opened(database_url: str, password: str = "correct horse") -> Vault:
    return await Vault.open(database_url, password, cost=CHEAP)


def told(error: BaseException | None) -> str:
    """Return what an error and its causes say."""
    return "" if error is None else f"{error!r} {error} {told(error.__cause__ or error.__context__)}"


@pytest.fixture(params=["postgres", "memory"])
def kept_in(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def vault(kept_in: str | None) -> ports.Vault:
    return MemoryVault() if kept_in is None else await opened(kept_in)


async def test_what_was_stored_is_read(vault):
    await vault.store("main", "binance", KEYS)
    assert await vault.read("main", "binance") == KEYS


async def test_no_credentials_are_none_and_empty_ones_are_not(vault):
    await vault.store("main", "paper", {})
    assert await vault.read("main", "paper") == {}
    assert await vault.read("main", "binance") is None


async def test_storing_again_replaces(vault):
    await vault.store("main", "binance", KEYS)
    await vault.store("main", "binance", {"api_key": "new"})
    assert await vault.read("main", "binance") == {"api_key": "new"}


async def test_shredding_a_connector_leaves_the_others(vault):
    for account, connector in (("main", "binance"), ("main", "okx"), ("other", "binance")):
        await vault.store(account, connector, KEYS)
    await vault.shred("main", "binance")
    assert await vault.read("main", "binance") is None
    assert await vault.read("main", "okx") == KEYS
    assert await vault.read("other", "binance") == KEYS


async def test_shredding_what_is_old_leaves_what_was_stored_since(vault):
    await vault.store("main", "binance", KEYS)
    await vault.shred("main", "binance", stored_before=datetime(2020, 1, 1, tzinfo=UTC))
    await vault.shred("main", stored_before=datetime(2020, 1, 1, tzinfo=UTC))
    assert await vault.read("main", "binance") == KEYS
    await vault.shred("main", "binance", stored_before=datetime.now(UTC) + timedelta(minutes=1))
    assert await vault.read("main", "binance") is None


async def test_shredding_an_account_leaves_other_accounts(vault):
    for account, connector in (("main", "binance"), ("main", "okx"), ("other", "binance")):
        await vault.store(account, connector, KEYS)
    await vault.shred("main")
    await vault.shred("main")
    assert [await vault.read("main", c) for c in ("binance", "okx")] == [None, None]
    assert await vault.read("other", "binance") == KEYS


async def test_the_vault_opens_again_with_its_password_and_has_the_same_signing_key(database_url):
    first = await opened(database_url)
    await first.store("main", "binance", KEYS)
    second = await opened(database_url)
    assert await second.read("main", "binance") == KEYS
    assert second.signing_key.private_bytes_raw() == first.signing_key.private_bytes_raw()


async def test_a_wrong_password_is_refused_by_name_and_not_told(database_url):
    await opened(database_url)
    with pytest.raises(WrongPassword, match="CONFIG_PASSWORD does not open the vault") as refused:
        await opened(database_url, "hunter2")
    assert "hunter2" not in told(refused.value)


async def test_servers_that_start_together_on_a_new_database_share_one_vault(database_url):
    vaults = await asyncio.gather(*(opened(database_url) for _ in range(4)))
    assert len({v.signing_key.private_bytes_raw() for v in vaults}) == 1
    await vaults[0].store("main", "binance", KEYS)
    assert await vaults[3].read("main", "binance") == KEYS


async def test_a_changed_password_opens_what_was_stored_before(database_url):
    vault = await opened(database_url)
    await vault.store("main", "binance", KEYS)
    await vault.change_password("new", cost=CHEAP)
    assert await (await opened(database_url, "new")).read("main", "binance") == KEYS
    with pytest.raises(WrongPassword):
        await opened(database_url)


async def test_no_secret_rests_readable_in_the_database(database_url):
    vault = await opened(database_url)
    await vault.store("main", "binance", KEYS)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        rows = await (await connection.execute("select encrypted from vault.credentials")).fetchall()
        rings = await (await connection.execute("select data_key, signing_key from vault.keyring")).fetchall()
    held = b"".join(v for row in (*rows, *rings) for v in row)
    for secret in (b"k-8f3a", "s-é-77".encode(), vault.signing_key.private_bytes_raw(), b"correct horse"):
        assert secret not in held
    assert "k-8f3a" not in repr(vault)


async def test_credentials_moved_to_another_account_are_refused_without_showing_them(database_url):
    vault = await opened(database_url)
    await vault.store("main", "binance", KEYS)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("update vault.credentials set account = 'thief'")
    with pytest.raises(DamagedVault, match="'thief' for 'binance'") as refused:
        await vault.read("thief", "binance")
    assert "k-8f3a" not in str(refused.value)


@pytest.mark.parametrize("column", ["signing_key", "public_key"])
async def test_an_altered_signing_key_is_refused(database_url, column):
    await opened(database_url)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            f"update vault.keyring set {column} = set_byte({column}, 13, get_byte({column}, 13) # 1)"
        )
    with pytest.raises(DamagedVault, match="signing key"):
        await opened(database_url)


async def test_a_database_that_does_not_answer_is_unavailable_and_its_url_not_told():
    with pytest.raises(Unavailable, match="vault cannot be reached") as refused:
        await opened("postgresql://user:pa55@127.0.0.1:1/none")
    assert "pa55" not in told(refused.value)


async def test_a_database_without_a_vault_says_how_to_make_one(empty_database_url):
    with pytest.raises(Unavailable, match="holds no vault yet: run nectar migrate"):
        await opened(empty_database_url)
