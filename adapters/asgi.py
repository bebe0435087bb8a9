"""Put the web application together: routes, errors, documentation, and what stands in front of them."""

from collections.abc import Mapping, Sequence
from typing import cast

from litestar import Controller, Litestar
from litestar.di import Provide

from adapters.http.authentication import Authentication
from adapters.http.cross_origin import CrossOrigin
from adapters.http.documentation import documentation
from adapters.http.errors import HANDLERS
from adapters.http.protocol import App
from adapters.http.requests import BODY_BYTES, Entrance, Request
from adapters.settings import Settings


def build(
    read: Sequence[type[Controller]],
    write: Sequence[type[Controller]],
    dependencies: Mapping[str, object],
    settings: Settings,
) -> App:
    """Return the application that serves these controllers; `dependencies` are what their routes ask for by name."""
    config, openapi = documentation()
    app = Litestar(
        route_handlers=[*read, *write, openapi],
        dependencies={name: _constant(value) for name, value in dependencies.items()},
        exception_handlers=HANDLERS,
        request_class=Request,
        request_max_body_size=BODY_BYTES,
        logging_config=None,
        openapi_config=config,
    )
    authenticated = Authentication(cast("App", app), username=settings.username, password=settings.password)
    across = CrossOrigin(authenticated, origins=settings.cors_origins, pattern=settings.cors_origin_regex)
    return Entrance(across)


def _constant(value: object) -> Provide:
    def provide() -> object:
        return value

    return Provide(provide, sync_to_thread=False)
