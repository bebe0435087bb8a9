"""What tests of bots' lives have in common: a world with strategies, and the wishes of its user."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from commands.accounts import AddAccount
from commands.bots.deploying import DeployControllers, DeployScript
from commands.bots.outcomes import AwaitDeployment
from commands.ports import Write
from commands.strategies import SaveConfig, SaveController, SaveScript
from domain.accounts import CredentialsStored
from domain.bots import ControllerReported, updates_of
from domain.events import Event
from tests.commands.world import World, world
from tests.fakes.runtime import BOT_IMAGE

NAME = "grid-20260101-000000"
ACCOUNT = "desk"
KEYS = {"binance": {"binance_api_key": "k1"}, "kucoin": {"kucoin_api_key": "k2"}}
PMM: Mapping[str, object] = {
    "id": "pmm_btc",
    "controller_name": "pmm_simple",
    "controller_type": "market_making",
    "connector_name": "binance",
}
REQUEST: Mapping[str, object] = {
    "instance_name": "grid",
    "controllers_config": ["pmm_btc"],
    "max_global_drawdown_quote": 100.0,
    "max_controller_drawdown_quote": None,
}


@asynccontextmanager
async def desk(through: Callable[[Any], Any] = lambda port: port) -> AsyncIterator[World]:
    """Run a world in which a bot can be deployed: an account with keys, strategies and their configurations."""
    async with world(through=through) as w:
        await w.do(AddAccount(account=ACCOUNT))
        for connector, credentials in KEYS.items():
            await w.vault.store(ACCOUNT, connector, credentials)
            await note_credentials(w, connector)
        await w.do(SaveScript(name="v2_with_controllers", source="class V2: ..."))
        await w.do(SaveScript(name="hello", source="markets = {'kucoin': {'BTC-USDT'}}"))
        await w.do(SaveController(type="market_making", name="pmm_simple", source="class Pmm: ..."))
        await w.do(SaveConfig(kind="controllers", name="pmm_btc", content=PMM))
        yield w


async def note_credentials(w: World, connector: str) -> None:
    """Have the account connected as the log tells it; the world has no such venue to connect to."""
    version = len((await w.log.read([f"account-{ACCOUNT}"]))[f"account-{ACCOUNT}"])
    stored = CredentialsStored(account=ACCOUNT, connector=connector, fields=[])
    await w.log.append([Write(stream=f"account-{ACCOUNT}", expected_version=version, events=[stored])], w.origin())


def controllers(**changes: Any) -> DeployControllers:
    wanted = DeployControllers(
        name="grid", account=ACCOUNT, image=BOT_IMAGE, controllers=["pmm_btc"], headless=True, request=REQUEST
    )
    return msgspec.structs.replace(wanted, **changes)


def script(**changes: Any) -> DeployScript:
    wanted = DeployScript(
        name="grid", account=ACCOUNT, image=BOT_IMAGE, script="hello", script_config=None, headless=False, request={}
    )
    return msgspec.structs.replace(wanted, **changes)


async def running(w: World) -> str:
    """Deploy a bot, and return its name when it runs and is heard."""
    instance: str = (await w.do(controllers())).result.instance
    await w.do(AwaitDeployment(instance=instance))
    w.fleet.line.appear(instance)
    return instance


async def life(w: World, instance: str = NAME) -> list[Event]:
    return await w.events(f"bot-{instance}")


async def kinds(w: World, instance: str = NAME) -> list[str]:
    return [type(event).__name__.removeprefix("Bot") for event in await life(w, instance)]


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait for something that a test cannot be told of; fail when it takes too long."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0)  # not longer: the time of these tests passes as fast as anybody waits for it


async def settled(w: World, *last: str, instance: str = NAME) -> None:
    """Wait until a bot's life has come to events of such kinds, and nothing is being done for it."""

    async def there() -> bool:
        return (await kinds(w, instance))[-len(last) :] == list(last) and not w.keeper.working

    await until(there)


async def report(w: World, performance: bytes, controller: str = "pmm_btc", instance: str = NAME) -> None:
    """Have a controller of a bot report how it does."""
    stream = updates_of(instance)
    told = ControllerReported(
        instance=instance,
        controller=controller,
        performance=msgspec.Raw(performance),
        custom_info=msgspec.Raw(b"{}"),
        heard_at=w.time(),
    )
    version = len((await w.log.read([stream]))[stream])
    await w.log.append([Write(stream=stream, expected_version=version, events=[told])], w.origin())
