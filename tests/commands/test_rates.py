"""Where prices come from and what values are shown in, as a user chooses it."""

import pytest

from commands.rates import ChangeRateSettings
from domain.errors import Conflict, Invalid
from domain.rates import STREAM, GlobalTokenChanged, RateSettings, RateSourceChanged
from tests.commands.world import world


async def test_settings_are_changed_and_given_as_they_are_then():
    async with world() as outside:
        outcome = await outside.do(ChangeRateSettings(source="binance", token="EUR"))
        assert outcome.result == RateSettings(source="binance", token="EUR", symbol="$")
        outcome = await outside.do(ChangeRateSettings(symbol="€"))
        assert outcome.result == RateSettings(source="binance", token="EUR", symbol="€")
        assert await outside.events(STREAM) == [
            RateSourceChanged(source="binance"),
            GlobalTokenChanged(token="EUR", symbol="$"),
            GlobalTokenChanged(token="EUR", symbol="€"),
        ]
        assert outcome.position == await outside.log.position()


async def test_nothing_given_changes_nothing():
    async with world() as outside:
        assert (await outside.do(ChangeRateSettings())).result == RateSettings()
        assert await outside.events(STREAM) == []


async def test_an_unknown_source_changes_nothing():
    async with world() as outside:
        with pytest.raises(Invalid, match="nope"):
            await outside.do(ChangeRateSettings(source="nope", token="EUR"))
        assert await outside.events(STREAM) == []


async def test_a_repeat_gives_the_first_answer_though_others_changed_more_since():
    async with world() as outside:
        first = await outside.do(ChangeRateSettings(source="kucoin"), "key")
        await outside.do(ChangeRateSettings(source="mexc", token="EUR"))
        again = await outside.do(ChangeRateSettings(source="kucoin"), "key")
        assert (again.repeated, again.result) == (True, first.result)
        assert len(await outside.events(STREAM)) == 3
        with pytest.raises(Conflict):
            await outside.do(ChangeRateSettings(source="paper"), "key")
