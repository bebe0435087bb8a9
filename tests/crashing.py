"""A process that ends at a step of our choice, for tests of what is found on disk afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CHANGES = ("mkdir", "rename", "unlink", "rmdir", "fsync", "fchmod", "open")


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crashing_at(step: int | None) -> Iterator[list[str]]:
    """Have the process end at its n-th call that changes something on disk; yields the calls that were made.

    Nothing is synced: a process that ends takes nothing with it that it wrote.
    """
    made: list[str] = []
    real = {name: getattr(os, name) for name in CHANGES}

    def watched(name):
        def call(*args, **kwargs):
            if name != "open" or args[1] & os.O_CREAT:
                if len(made) == step:
                    raise Crash
                made.append(name)
            return None if name == "fsync" else real[name](*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, watched(name))
        yield made
