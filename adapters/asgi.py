"""Put the web application together: routes, errors, documentation, and what stands in front of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from litestar import Controller, Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from adapters.http.as_of import past
from adapters.http.authentication import Authentication
from adapters.http.cross_origin import CrossOrigin
from adapters.http.documentation import documentation
from adapters.http.errors import HANDLERS, socket_failed
from adapters.http.parameters import held_to_bounds
from adapters.http.protocol import App
from adapters.http.requests import BODY_BYTES, Entrance, Request
from adapters.http.slashes import Slashes
from adapters.settings import Settings

SLASHED = {
    "/audit/streams/": frozenset[str](),
    "/archived-bots/": frozenset(
        {"status", "summary", "performance", "trades", "orders", "executors", "positions", "controllers"}
    ),
}
"""Where a path has slashes inside of a parameter, and which words may follow it."""


def build(
    read: Sequence[type[Controller]],
    write: Sequence[type[Controller]],
    dependencies: Mapping[str, object],
    settings: Settings,
) -> App:
    """Return the application that serves these controllers; `dependencies` are what their routes ask for by name."""
    config, openapi = documentation()
    app = Litestar(
        route_handlers=[*_merged([*read, *write]), openapi],
        dependencies={name: _constant(value) for name, value in dependencies.items()},
        guards=[past],
        exception_handlers=HANDLERS,
        after_exception=[socket_failed],
        request_class=Request,
        request_max_body_size=BODY_BYTES,
        logging_config=None,
        openapi_config=config,
    )
    routed = Slashes(cast("App", app), SLASHED)
    authenticated = Authentication(routed, username=settings.username, password=settings.password)
    across = CrossOrigin(authenticated, origins=settings.cors_origins, pattern=settings.cors_origin_regex)
    return Entrance(across)


def _merged(controllers: Iterable[type[Controller]]) -> Iterator[type[Controller]]:
    """Yield one controller for each path prefix, with the routes of all that have it, their parameters checked.

    The framework gives every controller `OPTIONS` routes of its own, and refuses a path that two of them share.
    """
    sharing: dict[str, list[type[Controller]]] = {}
    for controller in controllers:
        sharing.setdefault(vars(controller)["path"], []).append(controller)
    for path, group in sharing.items():
        routes: dict[str, object] = {}
        for controller in group:
            for name, route in vars(controller).items():
                if name in routes:
                    raise TypeError(f"Controllers of {path} have two routes of the name {name}")
                if isinstance(route, HTTPRouteHandler):
                    routes[name] = held_to_bounds(route)
        yield type(f"All{group[0].__name__}", tuple(group), {"path": path, **routes})


def _constant(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)
