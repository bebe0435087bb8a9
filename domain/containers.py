"""Containers: what somebody had done to the containers and images of this host. Stream `containers`."""

from typing import Literal

import msgspec

from domain.events import Event
from domain.values import Utc

STREAM = "containers"


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A container as its engine shows it. `status` is the engine's word (`running`, `exited`, `created`, …).

    `exit_code` is None while it runs, and where it never ran.
    """

    id: str
    name: str
    status: str
    image: str
    exit_code: int | None = None


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """How the pull of an image goes, or how it went: `error` where it failed.

    `done` of `total` bytes have come, as far as the registry has told.
    """

    image: str
    status: Literal["pulling", "completed", "failed"]
    started_at: Utc
    ended_at: Utc | None = None
    error: str | None = None
    done: int = 0
    total: int | None = None


class ContainerStarted(Event, frozen=True, kw_only=True):
    """A container was started by its name."""

    container: str
    started_at: Utc


class ContainerStopped(Event, frozen=True, kw_only=True):
    """A container was stopped by its name."""

    container: str
    stopped_at: Utc


class ContainerRemoved(Event, frozen=True, kw_only=True):
    """A container was removed; by `clean-exited-containers`, too."""

    container: str
    removed_at: Utc


class ImagePulled(Event, frozen=True, kw_only=True):
    """An image was pulled, `bytes` in all where the registry told."""

    image: str
    bytes: int | None = None
    pulled_at: Utc


EVENTS = (ContainerStarted, ContainerStopped, ContainerRemoved, ImagePulled)
