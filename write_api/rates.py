"""Choose where prices for rates come from, and what values are shown in."""

from typing import Annotated

import msgspec
from litestar import Controller, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from adapters.http.answers import Answer
from adapters.http.bodies import Body
from adapters.http.requests import Request
from commands.rates import ChangeRateSettings
from domain.rates import RateSettings
from write_api.writing import Writes, answer, answers

Source = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[^\x00-\x20\x7f]+$")]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=16, pattern=r"^[^\x00-\x1f\x7f]+$")]


class SourceChange(Body, frozen=True, kw_only=True):
    """Where prices come from."""

    name: Source | None = None


class TokenChange(Body, frozen=True, kw_only=True):
    """What values are shown in."""

    global_token_name: Token | None = None
    global_token_symbol: Symbol | None = None


class ConfigRequest(Body, frozen=True, kw_only=True):
    """What to change; what is not given stays as it is."""

    rate_oracle_source: SourceChange | None = None
    global_token: TokenChange | None = None


class SourceItem(msgspec.Struct, frozen=True, kw_only=True):
    """Where prices come from."""

    name: str


class TokenItem(msgspec.Struct, frozen=True, kw_only=True):
    """What values are shown in."""

    global_token_name: str
    global_token_symbol: str


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of rates on the wire."""

    rate_oracle_source: SourceItem
    global_token: TokenItem


class ConfigAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says what was set, and what holds now."""

    success: bool = True
    message: str
    config: Config


def on_the_wire(command: ChangeRateSettings, after: RateSettings) -> ConfigAnswer:
    """Return the answer: what was given, whether it differed or not, and all settings after it."""
    given = {
        "rate_oracle_source": command.source,
        "global_token_name": command.token,
        "global_token_symbol": command.symbol,
    }
    updated = "; ".join(f"{name} updated to {value}" for name, value in given.items() if value is not None)
    return ConfigAnswer(
        message=updated or "No changes made",
        config=Config(
            rate_oracle_source=SourceItem(name=after.source),
            global_token=TokenItem(global_token_name=after.token, global_token_symbol=after.symbol),
        ),
    )


class Rates(Controller):
    """The settings of rates, as a user changes them."""

    path = "/rate-oracle"
    tags = ("Rate oracle",)

    @put("/config", status_code=200, summary="Change the settings of rates", responses=answers(ConfigAnswer, 200))
    async def change(self, request: Request, data: JSONBody[ConfigRequest], writes: NamedDependency[Writes]) -> Answer:
        """Change what is given, and answer all settings as they are then."""
        source, token = data.rate_oracle_source or SourceChange(), data.global_token or TokenChange()
        command = ChangeRateSettings(
            source=source.name, token=token.global_token_name, symbol=token.global_token_symbol
        )
        outcome = await writes.dispatch(command, request)
        return answer(200, on_the_wire(command, outcome.result), outcome.position)
