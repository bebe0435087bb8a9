"""How configurations become the text that bots read, and are read again."""

from collections.abc import Mapping
from typing import Protocol

from domain.values import Json


class Yaml(Protocol):
    """Writes and reads configurations as Hummingbot does."""

    async def dump(self, content: Mapping[str, object]) -> str:
        """Return the text of a configuration."""
        ...

    async def load(self, name: str, text: str) -> Json:
        """Return what a text says; `name` is for the message. Raises `Invalid`, with the line where there is one."""
        ...
