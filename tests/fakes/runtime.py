"""Where bots run, and the containers beside them, in memory: the runtime passes the real ones' suite."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from commands.ports.bots import Instance
from domain.bots import BotDeployed
from domain.errors import Forbidden, Invalid, NotFound, Unavailable

BOT_IMAGE = "hummingbot/hummingbot:latest"


class MemoryRuntime:
    """Instances in a dict, as `commands.ports.bots.Runtime`.

    `reachable` is whether it answers, `foreign` are names that others have, `starts` counts how often each instance was
    made to run, `steps` holds the calls in order. `crash` ends an instance as it would end by itself. Those in
    `stubborn` end only by force; those in `failing` exit with that code as soon as they start.
    """

    def __init__(self, images: Sequence[str] = (BOT_IMAGE,), *, name: str = "docker") -> None:
        self.name = name
        self.reachable = True
        self.images = set(images)
        self.foreign: set[str] = set()
        self.failing: dict[str, int] = {}
        self.stubborn: set[str] = set()
        self.starts: dict[str, int] = {}
        self.collected: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.there: dict[str, Instance] = {}
        self.orders: dict[str, BotDeployed] = {}

    async def place(self) -> str:
        """Return its name; like a real one that was asked before, it knows it while nothing answers."""
        return self.name

    async def check(self, image: str) -> None:
        """Refuse an image that it has not got."""
        self._step("check", image)
        if image not in self.images:
            raise Invalid(f"Image '{image}' cannot be pulled: not found")

    async def start(self, order: BotDeployed) -> Instance:
        """Make an instance once, and have it run."""
        self._step("start", order.instance)
        if order.instance in self.foreign:
            raise Invalid(f"The name '{order.instance}' is taken by a container that is not ours")
        if order.instance not in self.there and order.image not in self.images:
            raise Invalid(f"Image '{order.image}' not found")
        self.orders.setdefault(order.instance, order)
        found = self.there.get(order.instance)
        return found if found is not None and found.state == "running" else self._run(order.instance)

    async def stop(self, instance: str, grace_seconds: float) -> int | None:
        """End an instance."""
        self._step("stop", instance)
        if instance in self.there and self.there[instance].state == "running":
            self._exit(instance, 137 if instance in self.stubborn else 0)
        return self.there[instance].exit_code if instance in self.there else None

    async def collect(self, instance: str) -> None:
        """Note that it was asked for."""
        self._step("collect", instance)
        self.collected.append(instance)

    async def remove(self, instance: str) -> None:
        """Forget a stopped instance."""
        self._step("remove", instance)
        if instance in self.there and self.there[instance].state == "running":
            raise Invalid(f"Instance '{instance}' is running: its container cannot be removed")
        self.there.pop(instance, None)

    async def instances(self) -> Mapping[str, Instance]:
        """Return all that are there."""
        self._check()
        return dict(self.there)

    def crash(self, instance: str, code: int = 1) -> None:
        """End an instance as if it had ended by itself."""
        self._exit(instance, code)

    def _run(self, instance: str) -> Instance:
        self.starts[instance] = self.starts.get(instance, 0) + 1
        self.there[instance] = Instance(instance=instance, runtime_id=f"id-{instance}", state="running")
        if instance in self.failing:
            self._exit(instance, self.failing[instance])
        return self.there[instance]

    def _exit(self, instance: str, code: int) -> None:
        self.there[instance] = msgspec.structs.replace(self.there[instance], state="exited", exit_code=code)

    def _step(self, what: str, whom: str) -> None:
        self._check()
        self.steps.append((what, whom))

    def _check(self) -> None:
        if not self.reachable:
            raise Unavailable("No Docker engine answers: it was made so")


class MemoryEngine:
    """Containers in a dict, as `commands.ports.bots.Engine`: name → whether it runs. Those in `foreign` are not ours.

    `bytes` says how each pull ends: with so many, or refused.
    """

    def __init__(self, containers: Mapping[str, bool] | None = None, *, foreign: Sequence[str] = ()) -> None:
        self.containers = dict(containers or {})
        self.foreign = set(foreign)
        self.reachable = True
        self.clock: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)
        self.bytes: dict[str, int | Invalid] = {}
        self.pulls: dict[str, datetime] = {}

    async def check(self) -> None:
        """Answer."""
        if not self.reachable:
            raise Unavailable("No Docker engine answers: it was made so")

    async def start(self, container: str) -> None:
        """Start a container."""
        await self._find(container)
        self.containers[container] = True

    async def stop(self, container: str) -> None:
        """Stop a container."""
        await self._find(container)
        self.containers[container] = False

    async def remove(self, container: str, *, force: bool) -> None:
        """Remove a container."""
        await self._find(container)
        if self.containers[container] and not force:
            raise Invalid(f"Container '{container}' is running: stop it first")
        del self.containers[container]

    async def exited(self) -> Sequence[str]:
        """Return those that do not run and are ours."""
        await self.check()
        return sorted(name for name, runs in self.containers.items() if not runs and name not in self.foreign)

    def pulling(self, image: str) -> datetime | None:
        """Return since when an image is being pulled."""
        return self.pulls.get(image)

    def pull(self, image: str) -> Coroutine[object, object, int | None]:
        """Note that an image is being pulled; what is returned ends with what the test says in `bytes`."""
        self.pulls[image] = self.clock()
        return self._pull(image)

    async def _pull(self, image: str) -> int | None:
        del self.pulls[image]
        outcome = self.bytes.get(image)
        if isinstance(outcome, Invalid):
            raise outcome
        return outcome

    async def _find(self, container: str) -> None:
        await self.check()
        if container not in self.containers:
            raise NotFound(f"Container '{container}' not found")
        if container in self.foreign:
            raise Forbidden(f"Container '{container}' was not made by this server")
