"""Containers: what somebody had done to the containers and images of this host. Stream `containers`."""

from domain.events import Event
from domain.values import Utc

STREAM = "containers"


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
