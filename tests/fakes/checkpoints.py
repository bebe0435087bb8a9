"""The port `Checkpoints` in memory."""


class MemoryCheckpoints:
    def __init__(self) -> None:
        self.positions: dict[str, int] = {}

    async def read(self, process: str) -> int:
        return self.positions.get(process, 0)

    async def save(self, process: str, position: int) -> None:
        self.positions[process] = max(position, self.positions.get(process, 0))
