"""What runs bots, put together from the settings."""

from collections.abc import Mapping

from domain.errors import NotFound


class NoBots:
    """The configurations of bots where none runs."""

    async def configs(self, instance: str) -> Mapping[str, str]:
        """Say that there is no such bot."""
        raise NotFound(f"Bot '{instance[:100]}' not found")
