"""Deploying bots: what is looked at, what is recorded, what they get, and what is left of one that came to nothing."""

import asyncio

import pytest

from commands.accounts import RemoveAccount
from commands.bots import deploying
from commands.bots.outcomes import AwaitDeployment
from commands.strategies import DeleteController, SaveConfig
from domain.bots import BotDeployed, BotFailed
from domain.errors import Conflict, Invalid, NotFound, Unavailable
from tests.commands.bots import (
    ACCOUNT,
    NAME,
    PMM,
    REQUEST,
    controllers,
    desk,
    kinds,
    life,
    running,
    script,
    settled,
    until,
)
from tests.commands.world import T0
from tests.fakes.runtime import BOT_IMAGE

CONF = f"scripts/{NAME}.yml"


async def test_a_bot_is_wanted_first_and_made_then():
    async with desk() as w:
        assert await running(w) == NAME
        assert await kinds(w) == ["Deployed", "Prepared", "Started"]
        wanted = (await life(w))[0]
        assert isinstance(wanted, BotDeployed)
        assert wanted == BotDeployed(
            instance=NAME,
            account=ACCOUNT,
            image="hummingbot/hummingbot:latest",
            strategy_type="controller",
            strategy_name="v2_with_controllers",
            script_config=f"{NAME}.yml",
            configs={
                CONF: "controllers_config:\n- pmm_btc.yml\nmax_global_drawdown_quote: 100.0\n"
                "script_file_name: v2_with_controllers.py\n",
                "controllers/pmm_btc.yml": "connector_name: binance\ncontroller_name: pmm_simple\n"
                "controller_type: market_making\nid: pmm_btc\n",
            },
            headless=True,
            request={**REQUEST, "instance_name": NAME, "script_config": f"{NAME}.yml"},
            deployed_at=T0,
        )
        assert w.fleet.runtime.starts == {NAME: 1}
        assert w.fleet.runtime.orders == {NAME: wanted}


async def test_a_bot_gets_only_the_keys_that_its_configs_name():
    async with desk() as w:
        await running(w)
        keys = {path for path in w.fleet.files.instances[NAME] if path.startswith("conf/connectors/")}
        assert keys == {"conf/connectors/binance.yml"}


async def test_a_script_without_a_config_gets_the_keys_that_its_source_names():
    async with desk() as w:
        instance = (await w.do(script(script="hello.py"))).result.instance
        await w.do(AwaitDeployment(instance=instance))
        keys = {path for path in w.fleet.files.instances[NAME] if path.startswith("conf/connectors/")}
        assert keys == {"conf/connectors/kucoin.yml"}
        wanted = (await life(w))[0]
        assert isinstance(wanted, BotDeployed)
        assert (wanted.strategy_type, wanted.strategy_name, wanted.script_config) == ("script", "hello", None)


async def test_a_script_s_config_brings_the_controllers_it_names():
    async with desk() as w:
        content = {"script_file_name": "v2_with_controllers.py", "controllers_config": ["pmm_btc.yml"]}
        await w.do(SaveConfig(kind="scripts", name="mine", content=content))
        instance = (await w.do(script(script=None, script_config="mine.yml"))).result.instance
        await w.do(AwaitDeployment(instance=instance))
        wanted = (await life(w))[0]
        assert isinstance(wanted, BotDeployed)
        assert (wanted.strategy_name, wanted.script_config) == ("v2_with_controllers", "mine.yml")
        assert list(wanted.configs) == ["scripts/mine.yml", "controllers/pmm_btc.yml"]


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (controllers(name="../evil"), Invalid, r"Invalid instance name: '\.\./evil'"),
        (controllers(account="nobody"), NotFound, "Account 'nobody' not found"),
        (controllers(controllers=["nope.yml"]), NotFound, "Configuration 'nope' not found"),
        (controllers(controllers=["../../config"]), Invalid, "Invalid configuration name"),
        (controllers(controllers=["pmm_btc", "pmm_btc.yml"]), Invalid, "'pmm_btc' is named twice"),
        (controllers(image="hummingbot/hummingbot:missing"), Invalid, "hummingbot:missing"),
        (script(script="nope"), NotFound, "Script 'nope' not found"),
        (script(script_config="nope"), NotFound, "Configuration 'nope' not found"),
    ],
    ids=["name", "account", "config", "traversal", "twice", "image", "script", "script-config"],
)
async def test_what_cannot_be_is_refused_and_nothing_is_made(wanted, error, message):
    async with desk() as w:
        with pytest.raises(error, match=message):
            await w.do(wanted)
        assert await kinds(w) == []
        assert (w.fleet.files.instances, w.fleet.runtime.there) == ({}, {})


@pytest.mark.parametrize("id_", [None, "", 7])
async def test_a_config_without_an_id_is_refused_as_a_bot_would(id_):
    async with desk() as w:
        content = {key: value for key, value in PMM.items() if key != "id"}
        await w.do(SaveConfig(kind="controllers", name="other", content=content if id_ is None else {**PMM, "id": id_}))
        with pytest.raises(Invalid, match=r"^Configuration 'other' has no id"):
            await w.do(controllers(controllers=["pmm_btc", "other"]))
        assert await kinds(w) == []


async def test_two_configs_with_one_id_are_refused_for_one_bot():
    async with desk() as w:
        await w.do(SaveConfig(kind="controllers", name="other", content=PMM))
        with pytest.raises(Invalid, match=r"^Configurations 'pmm_btc' and 'other' have the same id, 'pmm_btc'"):
            await w.do(controllers(controllers=["pmm_btc", "other"]))
        await w.do(controllers(controllers=["other"]))


async def test_a_config_whose_controller_is_gone_is_refused():
    async with desk() as w:
        await w.do(DeleteController(type="market_making", name="pmm_simple"))
        with pytest.raises(NotFound, match="Controller 'pmm_simple' of type 'market_making', which configuration"):
            await w.do(controllers())


@pytest.mark.parametrize("listed", ["../../../config.py", "/etc/passwd"])
async def test_a_script_s_config_cannot_name_other_files(listed):
    async with desk() as w:
        content = {"script_file_name": "v2_with_controllers.py", "controllers_config": [listed]}
        with pytest.raises(Invalid, match="controllers_config"):
            await w.do(SaveConfig(kind="scripts", name="evil", content=content))
        with pytest.raises(NotFound, match="Configuration 'evil' not found"):
            await w.do(script(script=None, script_config="evil"))


async def test_a_name_of_the_same_second_is_taken():
    async with desk() as w:
        await running(w)
        w.time.now = T0
        with pytest.raises(Conflict, match=f"'{NAME}' is taken"):
            await w.do(controllers())
        assert w.fleet.runtime.starts == {NAME: 1}


async def test_a_name_of_files_that_somebody_left_is_taken():
    async with desk() as w:
        w.fleet.files.archives[f"archived/{NAME}"] = {}
        with pytest.raises(Conflict, match=f"'{NAME}' is taken"):
            await w.do(controllers())


async def test_a_repeat_with_the_same_key_deploys_nothing_more():
    async with desk() as w:
        first = await w.do(controllers(), "k")
        await w.do(AwaitDeployment(instance=first.result.instance))
        w.time.pass_(10)
        again = await w.do(controllers(), "k")
        assert again.repeated
        assert again.result == first.result
        assert w.fleet.runtime.starts == {NAME: 1}


async def test_a_deployment_that_is_refused_leaves_nothing_behind():
    async with desk() as w:
        w.fleet.runtime.foreign.add(NAME)
        await w.do(controllers())
        with pytest.raises(
            Invalid, match=r"could not be deployed: The name 'grid-.*' is taken by a container that is not"
        ):
            await w.do(AwaitDeployment(instance=NAME))
        assert await kinds(w) == ["Deployed", "Prepared", "Failed", "Cleared"]
        assert (w.fleet.files.instances, w.fleet.runtime.there) == ({}, {})


async def test_nothing_is_wanted_while_the_disk_is_away():
    async with desk() as w:
        w.fleet.files.away = "The disk is not mounted"
        with pytest.raises(Unavailable, match="The disk is not mounted"):
            await w.do(controllers())
        assert await kinds(w) == []


async def test_a_runtime_that_goes_away_is_waited_for():
    async with desk() as w:
        await w.do(controllers())
        w.fleet.runtime.reachable = False

        async def tried() -> bool:
            return w.time.now > T0

        await until(tried)
        w.fleet.runtime.reachable = True
        await settled(w, "Prepared", "Started")
        assert w.fleet.runtime.starts == {NAME: 1}


async def test_a_runtime_that_stays_away_ends_a_deployment_and_what_it_made_is_removed_when_it_is_back():
    async with desk() as w:
        await w.do(controllers())
        w.fleet.runtime.reachable = False

        async def given_up() -> bool:
            return (await kinds(w))[-1] == "Failed"

        await until(given_up)
        failed = (await life(w))[-1]
        assert isinstance(failed, BotFailed)
        assert failed.reason.startswith("No Docker engine answers")
        assert NAME in w.fleet.files.instances
        w.fleet.runtime.reachable = True
        await settled(w, "Failed", "Cleared")
        assert (w.fleet.files.instances, w.fleet.runtime.there) == ({}, {})


async def test_a_bot_whose_account_is_gone_meanwhile_gets_no_keys():
    async with desk() as w:
        instance = (await w.do(controllers())).result.instance
        await w.do(RemoveAccount(account=ACCOUNT))
        with pytest.raises(Invalid, match=f"Account '{ACCOUNT}' not found"):
            await w.do(AwaitDeployment(instance=instance))
        assert w.fleet.files.instances == {}


async def test_an_image_that_does_not_come_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(deploying, "PULLED_WITHIN_SECONDS", 0.01)

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    async with desk() as w:
        monkeypatch.setattr(w.fleet.runtime, "check", never)
        with pytest.raises(Unavailable, match=f"Image '{BOT_IMAGE}' is not here after 0 s; it is still pulled"):
            await w.do(controllers())
        assert await kinds(w) == []


async def test_no_key_is_left_of_a_deployment_that_failed_with_a_runtime_that_is_gone(monkeypatch):
    async with desk() as w:
        w.fleet.runtime.foreign.add(NAME)

        async def gone(*_: object) -> int | None:
            raise Unavailable("No Docker engine answers")

        monkeypatch.setattr(w.fleet.runtime, "stop", gone)
        await w.do(controllers())

        async def shredded() -> bool:
            files = w.fleet.files.instances.get(NAME, {})
            return (await kinds(w))[-1] == "Failed" and not [path for path in files if "connectors" in path]

        await until(shredded)
        assert "conf/.password_verification" not in w.fleet.files.instances[NAME]
        monkeypatch.undo()
        await settled(w, "Failed", "Cleared")
        assert w.fleet.files.instances == {}
