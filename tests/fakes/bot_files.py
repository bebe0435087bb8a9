"""The files of bots in memory, for tests of what uses them; it passes the same suite as the real ones."""

from collections.abc import Mapping
from datetime import datetime

from adapters.bot_files.instance import check_configs
from adapters.bot_files.paths import file_name, instance_name
from domain.bots import ArchivePlace, BotDeployed
from domain.errors import NotFound, Unavailable

PASSWORD = "conf/.password_verification"
CLIENT = "conf/conf_client.yml"


class FakeBotFiles:
    """Instance → path below its folder → content, as `commands.ports.bots.BotFiles`; `archives` by location.

    While `away` is set, every call raises it as `Unavailable`, having done nothing. Buckets that are not named do not
    exist.
    """

    def __init__(self, *buckets: str) -> None:
        self.instances: dict[str, dict[str, str]] = {}
        self.archives: dict[str, dict[str, str]] = {}
        self.shared: dict[str, str] = {}
        self.away = ""
        self._buckets = buckets

    async def taken(self, instance: str) -> bool:
        """Whether there are files of that name, among the instances or the archives."""
        self._reach(instance)
        return instance in self.instances or f"archived/{instance}" in self.archives

    async def prepare(
        self, order: BotDeployed, credentials: Mapping[str, Mapping[str, object]], sources: Mapping[str, str]
    ) -> None:
        """Write all that the instance needs; what it wrote itself stays."""
        self._reach(order.instance)
        check_configs(order.configs)
        files = self.instances.setdefault(order.instance, {})
        for path in [path for path in files if path.startswith("conf/connectors/")]:
            del files[path]
        files.update({CLIENT: order.instance, PASSWORD: "encrypted"})
        files.update({f"conf/{path}": text for path, text in order.configs.items()})
        for connector, values in credentials.items():
            if values:
                files[f"conf/connectors/{file_name(connector)}.yml"] = ",".join(values)
        self.shared.update(sources)

    async def discard(self, instance: str) -> None:
        """Remove the instance's files."""
        self._reach(instance)
        self.instances.pop(instance, None)

    async def shred(self, instance: str) -> None:
        """Remove the instance's keys and what opens them."""
        self._reach(instance)
        files = self.instances.get(instance, {})
        for path in [path for path in files if path == PASSWORD or path.startswith("conf/connectors/")]:
            del files[path]

    async def archive(self, instance: str, place: ArchivePlace, at: datetime) -> str:
        """Put the instance's files away, without its keys, and return where."""
        self._reach(instance)
        if place.bucket is not None and place.bucket not in self._buckets:
            raise Unavailable(f"Bucket '{place.bucket}' does not exist")
        location = f"archived/{instance}" if place.bucket is None else f"s3://{place.bucket}/{instance}.tar.gz"
        if instance not in self.instances:
            if location not in self.archives:
                raise NotFound(f"Bot '{instance}' has no files, neither as an instance nor in the archive")
            return location
        await self.shred(instance)
        if location in self.archives:
            raise Unavailable(f"{location} is another archive")
        self.archives[location] = self.instances.pop(instance)
        return location

    async def configs(self, instance: str) -> Mapping[str, str]:
        """Return controller → YAML of the controllers' configs that the instance has now."""
        self._reach(instance)
        begins, ends = "conf/controllers/", ".yml"
        return {
            path.removeprefix(begins).removesuffix(ends): text
            for path, text in sorted(self._files(instance).items())
            if path.startswith(begins)
        }

    async def write_config(self, instance: str, controller: str, text: str) -> None:
        """Change a controller's config under a running bot."""
        self._reach(instance)
        path = f"conf/controllers/{file_name(controller)}.yml"
        if path not in self._files(instance):
            raise NotFound(f"Bot '{instance}' has no config '{controller}'")
        self.instances[instance][path] = text

    def _files(self, instance: str) -> dict[str, str]:
        try:
            return self.instances[instance]
        except KeyError:
            raise NotFound(f"Bot instance '{instance}' not found") from None

    def _reach(self, instance: str) -> None:
        instance_name(instance)
        if self.away:
            raise Unavailable(self.away)
