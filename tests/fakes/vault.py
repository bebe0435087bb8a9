"""A vault in memory, for tests of what uses one."""

from collections.abc import Mapping
from datetime import UTC, datetime


class MemoryVault:
    """Credentials in a dict, as `commands.ports.Vault`."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, object]] = {}
        self._stored_at: dict[tuple[str, str], datetime] = {}

    async def store(self, account: str, connector: str, credentials: Mapping[str, object]) -> None:
        """Keep the credentials, in place of those it had."""
        self.held[account, connector] = dict(credentials)
        self._stored_at[account, connector] = datetime.now(UTC)

    async def read(self, account: str, connector: str) -> dict[str, object] | None:
        """Return a copy of the credentials, None if there are none."""
        held = self.held.get((account, connector))
        return None if held is None else dict(held)

    async def shred(self, account: str, connector: str | None = None, *, stored_before: datetime | None = None) -> None:
        """Forget the credentials for a connector, or all of the account."""
        for key in [k for k in self.held if k[0] == account and connector in (None, k[1])]:
            if stored_before is None or key not in self._stored_at or self._stored_at[key] < stored_before:
                del self.held[key]
                self._stored_at.pop(key, None)
