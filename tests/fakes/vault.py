"""A vault in memory, for tests of what uses one."""

from collections.abc import Mapping


class MemoryVault:
    """Credentials in a dict, as `commands.ports.Vault`."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, object]] = {}

    async def store(self, account: str, connector: str, credentials: Mapping[str, object]) -> None:
        """Keep the credentials, in place of those it had."""
        self.held[account, connector] = dict(credentials)

    async def read(self, account: str, connector: str) -> dict[str, object] | None:
        """Return a copy of the credentials, None if there are none."""
        held = self.held.get((account, connector))
        return None if held is None else dict(held)

    async def shred(self, account: str, connector: str | None = None) -> None:
        """Forget the credentials for a connector, or all of the account."""
        for key in [k for k in self.held if k[0] == account and connector in (None, k[1])]:
            del self.held[key]
