"""Docker: the engine of this host, its containers and images, and bots in its containers or as services of a Swarm.

Everything that blocks runs in threads of the connection's own, so that a container that takes its time to stop keeps
nobody else waiting. What is ours carries labels: the instance that it is, and the data that it belongs to.
"""

from adapters.docker.connection import Connection
from adapters.docker.engine import DockerEngine
from adapters.docker.images import Images
from adapters.docker.runtime import DockerRuntime
from adapters.docker.swarm import SwarmRuntime

__all__ = ["Connection", "DockerEngine", "DockerRuntime", "Images", "SwarmRuntime"]
