"""A real Docker engine for tests: the one that answers, else one of our own, and the images that bots run on."""

from tests.engine.images import BOT_IMAGE, OBEDIENT_IMAGE, bot_image, obedient_image
from tests.engine.running import Engine, OwnEngine, engine, own_engine

__all__ = ["BOT_IMAGE", "OBEDIENT_IMAGE", "Engine", "OwnEngine", "bot_image", "engine", "obedient_image", "own_engine"]
