"""Accounts, their credentials, and the connections that follow from them."""

import asyncio

import pytest

from commands.accounts import AddAccount, RemoveAccount, RemoveCredentials, StoreCredentials, first_start
from commands.processes import accounts
from commands.processes.accounts import ACCOUNTS, connect_all, connect_rest, reconnect
from domain.accounts import MASTER, AccountAdded, AccountRemoved, CredentialsRemoved, CredentialsStored
from domain.errors import Invalid, NotFound
from tests.commands.world import World, world


async def with_account(w: World) -> None:
    await w.do(AddAccount(account="a"))
    await w.do(StoreCredentials(account="a", connector="paper", credentials={"key": "k"}))


async def test_an_account_is_known_to_the_venues_at_once() -> None:
    async with world() as w:
        await w.do(AddAccount(account="a"))
        assert w.bus.ports.venues.accounts() == {"a": frozenset()}


async def test_adding_again_with_the_same_key_is_no_error() -> None:
    async with world() as w:
        await w.do(AddAccount(account="a"), "k")
        assert (await w.do(AddAccount(account="a"), "k")).repeated
        with pytest.raises(Invalid, match="already exists"):
            await w.do(AddAccount(account="a"))


async def test_credentials_go_to_the_vault_and_only_their_names_to_the_log() -> None:
    async with world() as w:
        await with_account(w)
        assert w.vault.held == {("a", "paper"): {"key": "k"}}
        assert (await w.events("account-a"))[-1] == CredentialsStored(account="a", connector="paper", fields=["key"])
        assert w.bus.ports.venues.accounts() == {"a": frozenset({"paper"})}


def test_a_secret_is_neither_shown_nor_digested() -> None:
    one = StoreCredentials(account="a", connector="paper", credentials={"key": "secret-1"})
    two = StoreCredentials(account="a", connector="paper", credentials={"key": "secret-2"})
    assert "secret" not in repr(one)
    assert one.fingerprint() == two.fingerprint()


@pytest.mark.parametrize(
    ("account", "connector", "credentials"),
    [("nobody", "paper", {}), ("a", "paper", {"wrong_field": "x"}), ("../a", "paper", {})],
)
async def test_what_cannot_be_stored_leaves_the_vault_as_it_was(
    account: str, connector: str, credentials: dict[str, object]
) -> None:
    async with world() as w:
        await w.do(AddAccount(account="a"))
        with pytest.raises(Invalid):
            await w.do(StoreCredentials(account=account, connector=connector, credentials=credentials))
        assert w.vault.held == {}


async def test_removed_credentials_are_shredded() -> None:
    async with world() as w:
        await with_account(w)
        await w.do(RemoveCredentials(account="a", connector="paper"))
        await w.do(RemoveCredentials(account="a", connector="paper"))
        assert w.vault.held == {}
        assert [type(e) for e in await w.events("account-a")] == [AccountAdded, CredentialsStored, CredentialsRemoved]
        assert w.bus.ports.venues.accounts() == {"a": frozenset()}


async def test_a_removed_account_is_forgotten_everywhere() -> None:
    async with world() as w:
        await with_account(w)
        await w.do(RemoveAccount(account="a"))
        assert w.vault.held == {}
        assert w.bus.ports.venues.accounts() == {}
        assert (await w.events("account-a"))[-1] == AccountRemoved(account="a")
        with pytest.raises(NotFound):
            await w.do(RemoveAccount(account="a"))


async def test_the_first_start_connects_the_master_account_and_the_second_changes_nothing() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        assert w.bus.ports.venues.accounts() == {MASTER: frozenset({"paper", "paper_perpetual"})}
        position = await w.log.position()
        await first_start(w.bus.ports)
        assert await w.log.position() == position


async def test_after_a_restart_every_account_is_connected_again() -> None:
    async with world() as w:
        await first_start(w.bus.ports)
        await with_account(w)
        for account in ("a", MASTER):
            await w.bus.ports.venues.disconnect(account)
        await connect_all(w.bus)
        assert w.bus.ports.venues.accounts() == {
            "a": frozenset({"paper"}),
            MASTER: frozenset({"paper", "paper_perpetual"}),
        }


async def test_a_connection_that_fails_does_not_keep_the_others_away() -> None:
    async with world() as w:
        await with_account(w)
        await w.bus.ports.venues.disconnect("a")
        w.vault.held["a", "paper"] = {"key": "wrong"}
        await connect_all(w.bus)
        assert w.bus.ports.venues.accounts() == {"a": frozenset()}
        w.vault.held["a", "paper"] = {"key": "k"}
        await reconnect(w.bus)
        assert w.bus.ports.venues.accounts() == {"a": frozenset({"paper"})}


async def test_what_fails_at_the_start_is_tried_again_soon_and_then_left_to_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "TRIED_AGAIN_AFTER_SECONDS", (0, 0))
    async with world() as w:
        await with_account(w)
        await w.bus.ports.venues.disconnect("a")
        w.vault.held["a", "paper"] = {"key": "wrong"}
        await connect_rest(w.bus)
        assert w.bus.ports.venues.accounts() == {"a": frozenset()}
        trying = asyncio.create_task(connect_rest(w.bus))
        await asyncio.sleep(0)
        w.vault.held["a", "paper"] = {"key": "k"}
        await trying
        assert w.bus.ports.venues.accounts() == {"a": frozenset({"paper"})}


async def test_what_a_crash_left_in_the_vault_is_shredded_by_the_process() -> None:
    async with world() as w:
        await with_account(w)
        await w.do(RemoveCredentials(account="a", connector="paper"))
        w.vault.held["a", "paper"] = {"key": "left"}
        (*_, last) = (await w.log.read(["account-a"]))["account-a"]
        await ACCOUNTS.step(last, w.bus.ports)
        assert w.vault.held == {}
        await w.do(RemoveAccount(account="a"))
        w.vault.held["a", "paper"] = {"key": "left"}
        await ACCOUNTS.step(last, w.bus.ports)
        assert w.vault.held == {}


async def test_the_process_leaves_credentials_that_are_on_their_way_into_the_log() -> None:
    async with world() as w:
        await w.do(AddAccount(account="a"))
        (added,) = (await w.log.read(["account-a"]))["account-a"]
        await w.vault.store("a", "paper", {"key": "k"})  # its event comes next
        await ACCOUNTS.step(added, w.bus.ports)
        assert w.vault.held == {("a", "paper"): {"key": "k"}}


async def test_the_first_start_is_one_commit() -> None:
    async with world() as w:
        commits = w.log.commits
        await first_start(w.bus.ports)
        await w.quiet()
        assert [type(event) for event in await w.events(f"account-{MASTER}")] == [
            AccountAdded,
            CredentialsStored,
            CredentialsStored,
        ]
        assert w.log.commits == commits + 1
