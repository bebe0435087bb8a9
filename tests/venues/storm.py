"""Trade through a storm, and compare: `python -m tests.venues.storm --seed 1 --orders 2000 --kills 20`.

Clients place and cancel orders on two accounts and two markets, prices move, somebody else trades with the same keys,
the venue answers badly or not at all, and the server is killed again and again. Then the wind drops, the server starts
once more, and what its log says must be what the venue says, to the last digit.

What is done follows from the seed; when it is done also depends on the machine, so a run is alike and never the same.
"""

import argparse
import asyncio
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import msgspec

from adapters.exchanges.paper_feed import RULES
from domain.orders import OrderAccepted, OrderFailed, OrderOutcomeUnknown
from domain.reconciliation import AccountReconciled, DifferenceFound
from domain.values import round_down
from tests.bench.database import fresh_database
from tests.faults.ledger import Ledger
from tests.faults.replaying import check_views, run
from tests.venues.floor import PRICES, SWAP_RULES
from tests.venues.ledger import Market
from tests.venues.scene import Scene
from tests.venues.traders import ACCOUNTS, Traders
from tests.venues.truth import finals
from tests.venues.venue_process import VenueProcess
from tests.venues.weather import weather

_MOVES_SECONDS = 0.1
_STEP, _FURTHEST = Decimal("0.002"), Decimal("0.03")
_FOREIGN, _FUNDING = 0.1, 0.005
_CALM_SECONDS = 90.0
_ROUND_SECONDS = 15.0
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class Outcome(msgspec.Struct, kw_only=True):
    """What a storm did, and what came of it; `differences` is empty when all is well."""

    seed: int
    pulled: Mapping[str, int] = {}
    happened: Counter[str] = msgspec.field(default_factory=Counter)
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    finals: Counter[str] = msgspec.field(default_factory=Counter)
    failed: Counter[str] = msgspec.field(default_factory=Counter)
    found: Counter[str] = msgspec.field(default_factory=Counter)
    seconds: dict[str, float] = {}
    differences: Sequence[str] = ()


class Storm:
    """One storm over one scene."""

    def __init__(self, scene: Scene, *, seed: int, orders: int, kills: int) -> None:
        """Prepare; nothing happens yet."""
        self.outcome = Outcome(seed=seed)
        self.traders = Traders(scene.nectar.url, seed=seed, most=orders)
        self._scene = scene
        self._orders = orders
        self._kills = kills
        self._others = random.Random(seed + 1)
        self._when = random.Random(seed + 2)

    async def run(self) -> Outcome:
        """Storm, let it be calm, compare."""
        scene, seconds = self._scene, self.outcome.seconds
        began = time.monotonic()
        await asyncio.to_thread(scene.open_accounts)
        for pull, probability in weather(self.outcome.seed):
            scene.venue.pull(pull, probability=probability)
        async with self.traders.trading():
            moving = asyncio.create_task(self._others_trade())
            await self._kill_again_and_again()
        moving.cancel()
        await asyncio.wait([moving])
        seconds["storm"] = time.monotonic() - began
        began = time.monotonic()
        scene.venue.release()
        await self._restart()
        try:
            await asyncio.to_thread(scene.connected)
            await asyncio.to_thread(scene.agree, self.traders, seconds=_CALM_SECONDS)
        except AssertionError as late:
            self.outcome.differences = str(late).splitlines()
        seconds["calm"] = time.monotonic() - began
        scene.nectar.stop()
        await self._look_back()
        return self.outcome

    async def _kill_again_and_again(self) -> None:
        for number in range(1, self._kills + 1):
            if number % 3:  # in the middle of finding out what happened meanwhile
                await asyncio.sleep(self._when.uniform(0, 2))
            else:
                await self._trade_on(self._orders * number // (self._kills + 1))
            await self._restart()

    async def _trade_on(self, orders: int) -> None:
        try:
            async with asyncio.timeout(_ROUND_SECONDS):
                await self.traders.placed(orders)
                await asyncio.sleep(self._when.uniform(0, 0.5))
        except TimeoutError:
            self.outcome.happened["kills before so many orders were placed as planned"] += 1

    async def _restart(self) -> None:
        self._scene.nectar.kill()
        self.outcome.happened["kills"] += 1
        await asyncio.to_thread(self._scene.nectar.start)

    async def _others_trade(self) -> None:
        """Move prices, trade with the accounts' keys, and have funding paid, for as long as it storms."""
        pick, traders, venue = self._others, self.traders, self._scene.venue
        while True:
            await asyncio.sleep(_MOVES_SECONDS)
            market, pair = pick.choice(sorted(traders.prices))
            start = Decimal(PRICES[pair])
            moved = traders.prices[market, pair] + start * Decimal(pick.randint(-100, 100)) / 100 * _STEP
            moved = round_down(moved, RULES[pair].min_price_increment)
            traders.prices[market, pair] = min(max(moved, start * (1 - _FURTHEST)), start * (1 + _FURTHEST))
            await asyncio.to_thread(venue.move, pair, traders.prices[market, pair], market=market)
            self.outcome.happened["moves"] += 1
            if pick.random() < _FOREIGN:
                await self._foreign_order(market, pair)
            if pick.random() < _FUNDING:
                await asyncio.to_thread(venue.pay_funding)
                self.outcome.happened["funding times"] += 1

    async def _foreign_order(self, market: Market, pair: str) -> None:
        pick, price = self._others, self.traders.prices[market, pair]
        rule = RULES[pair] if market is Market.SPOT else SWAP_RULES.get(pair)
        side, kind = pick.choice(["BUY", "SELL"]), pick.choice(["LIMIT", "MARKET"])
        if rule is None:
            return
        away = price * Decimal(pick.randint(-10, 40)) / 10_000
        limit = round_down(price - away if side == "BUY" else price + away, rule.min_price_increment)
        answer = await asyncio.to_thread(
            self._scene.venue.place,
            account=pick.choice(sorted(ACCOUNTS.values())),
            market=market,
            trading_pair=pair,
            side=side,
            order_type=kind,
            amount=round_down(self.traders.amount(pair, rule), rule.min_base_amount_increment),
            price=limit if kind == "LIMIT" else None,
        )
        self.outcome.happened["orders of others" if answer.is_success else "orders of others refused"] += 1

    async def _look_back(self) -> None:
        """Note what happened, and check what is kept of it."""
        outcome, log = self.outcome, self._scene.log()
        outcome.pulled = self._scene.venue.books().pulled
        outcome.happened["orders"] = len(self.traders.asked)
        outcome.happened["orders acknowledged"] = len(self.traders.acknowledged)
        outcome.happened["cancels"] = self.traders.cancels
        outcome.happened.update({f"requests repeated: {why}": n for why, n in self.traders.sent_again.items()})
        outcome.refused = self.traders.refused
        outcome.finals = finals(log)
        outcome.failed = Counter(_NUMBER.sub("#", event.reason) for event in log.of(OrderFailed))
        outcome.found = Counter(f"{found.kind} differed" for found in log.of(DifferenceFound))
        outcome.found["comparisons"] = len(log.of(AccountReconciled))
        outcome.found["outcomes unknown at first"] = len(log.of(OrderOutcomeUnknown))
        outcome.found["accepted after they had failed"] = _late(log)
        try:
            await check_views(self._scene.nectar)
            assert run(self._scene.nectar, "audit", "verify") == 0, "the audit found the log altered"
        except AssertionError as wrong:
            outcome.differences = [*outcome.differences, f"kept views or audit: {wrong}"]


def _late(log: Ledger) -> int:
    """Return how many orders were found at the venue after it had said that it does not know them."""
    late = 0
    for history in log.histories.values():
        kinds = [type(each.event) for each in history]
        late += OrderFailed in kinds and OrderAccepted in kinds[kinds.index(OrderFailed) :]
    return late


async def storm(folder: Path, database_url: str, *, seed: int, orders: int, kills: int) -> Outcome:
    """Run one storm in a folder, on an empty database."""
    with VenueProcess(folder, accounts=list(ACCOUNTS.values()), seed=seed) as venue:
        scene = Scene(folder, venue, database_url)
        try:
            return await Storm(scene, seed=seed, orders=orders, kills=kills).run()
        finally:
            scene.nectar.stop()


def table(outcome: Outcome) -> str:
    """Return what was injected and what came out."""
    parts = {
        "done": outcome.happened,
        "levers pulled": outcome.pulled,
        "refused": outcome.refused,
        "orders at the end": outcome.finals,
        "why orders failed": outcome.failed,
        "found on the way": outcome.found,
        "seconds": {name: round(taken, 1) for name, taken in outcome.seconds.items()},
    }
    lines = [f"Seed {outcome.seed}: {'AS THE VENUE SAYS' if not outcome.differences else 'DIFFERENT'}"]
    for title, rows in parts.items():
        lines.append(f"  {title}")
        lines += [f"    {name:<60} {number:>8}" for name, number in sorted(rows.items())]
    return "\n".join([*lines, *(f"  ! {difference}" for difference in outcome.differences)])


async def _once(folder: Path, *, seed: int, orders: int, kills: int) -> Outcome:
    folder.mkdir()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database())
        return await storm(folder, url, seed=seed, orders=orders, kills=kills)


def main() -> int:
    """Run storms one after the other and print a table for each; 1 if any was not as the venue says."""
    parser = argparse.ArgumentParser(prog="python -m tests.venues.storm", description="Trade through storms.")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many storms, each with the next seed")
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="a folder for the logs of the servers")
    arguments = parser.parse_args()
    wrong = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends, too
    with tempfile.TemporaryDirectory(prefix="nectar-storm-") as scratch:
        for seed in range(arguments.seed, arguments.seed + arguments.seeds):
            print(f"Seed {seed}", flush=True)  # noqa: T201 - what it is run for
            folder = (arguments.keep or Path(scratch)) / f"seed-{seed}"
            outcome = asyncio.run(_once(folder, seed=seed, orders=arguments.orders, kills=arguments.kills))
            print(table(outcome), flush=True)  # noqa: T201
            wrong += bool(outcome.differences)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
