"""Hold path and query parameters to the bounds of their types, and describe them with those.

The framework converts parameters by its own constraints and does not look at msgspec's, which bodies have. So that a
type means the same wherever it stands, routes that have such parameters get a guard that checks them first.
"""

from collections.abc import Awaitable, Callable, Iterator
from copy import copy
from functools import cache
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import ParameterKwarg, PathParameter, QueryParameter
from litestar.routes import HTTPRoute

from adapters.http.as_of import reaches_back
from adapters.http.bodies import MalformedRequest
from adapters.http.problems import Problem, is_list, problems, shown

Connection = ASGIConnection[Any, Any, Any, Any]
Json = dict[str, Any]


class Parameter(NamedTuple):
    """A parameter of a route: where it stands, under which name, and what it has to be."""

    source: str
    name: str
    annotation: Any


def parameters_of(handler: BaseRouteHandler) -> Iterator[Parameter]:
    """Yield the path and query parameters of a route, but those that may be any text."""
    for name, field in handler.parsed_fn_signature.parameters.items():
        definition = field.kwarg_definition
        if isinstance(definition, PathParameter | QueryParameter) and field.raw is not str:
            yield Parameter(definition.param_type.value, _name_on_the_wire(name, definition), field.raw)


def _name_on_the_wire(name: str, definition: ParameterKwarg) -> str:
    return definition.name or definition.query or name


async def only_known(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse a query parameter that a route has not, of which whoever sends it believes that it means something.

    A guard of routes of our own; those of the contract let them pass. Raises `MalformedRequest`.
    """
    known = _known(handler)
    found = [
        Problem(
            type="extra_forbidden",
            loc=("query", name),
            msg=f"There is no such parameter: they are {', '.join(sorted(known))}",
            input=shown(given),
        )
        for name, given in connection.query_params.items()
        if name not in known
    ]
    if found:
        raise MalformedRequest(found)


@cache
def _known(handler: BaseRouteHandler) -> frozenset[str]:
    signatures = [handler.parsed_fn_signature]
    signatures += [provided.parsed_fn_signature for provided in handler.resolve_dependencies().values()]
    return frozenset(
        _name_on_the_wire(name, field.kwarg_definition)
        for signature in signatures
        for name, field in signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    )


def held_to_bounds(handler: HTTPRouteHandler) -> HTTPRouteHandler:
    """Return the same route, its parameters checked where there is something to check."""
    # A route that has parsed its signature can no longer be registered: msgspec's bounds cannot be copied deeply.
    checked = tuple(parameters_of(copy(handler)))
    if not checked:
        return handler
    held = copy(handler)
    held.guards = [*(handler.guards or ()), _guard(checked)]
    return held


def _guard(checked: tuple[Parameter, ...]) -> Callable[[Connection, BaseRouteHandler], Awaitable[None]]:
    async def within_bounds(connection: Connection, _: BaseRouteHandler) -> None:
        found = [problem for parameter in checked for problem in _problems(connection, parameter)]
        if found:
            raise MalformedRequest(found)

    return within_bounds


def _problems(connection: Connection, parameter: Parameter) -> Iterator[Any]:
    source, name, annotation = parameter
    given: Any = connection.path_params.get(name) if source == "path" else connection.query_params.get(name)
    if given is None:
        return  # what is required, the framework asks for
    if is_list(annotation):
        given = connection.query_params.getall(name)
    yield from problems(annotation, given, (source, name))


def schemas(app: Litestar) -> dict[tuple[str, str, str], Json]:
    """Return the schema of every checked parameter, by path, method and name."""
    return {
        (path, method.lower(), parameter.name): msgspec.json.schema(parameter.annotation)
        for handler, path in _handlers(app)
        for method in handler.http_methods
        for parameter in parameters_of(handler)
    }


def writes(app: Litestar) -> set[tuple[str, str]]:
    """Return path and method of every route that carries a command out."""
    return {
        (path, method.lower())
        for handler, path in _handlers(app)
        for method in handler.http_methods
        if handler.fn.__module__.startswith("write_api.")
    }


def reaching_back(app: Litestar) -> set[tuple[str, str]]:
    """Return path and method of every route that can be asked about the past."""
    return {
        (path, method.lower())
        for handler, path in _handlers(app)
        for method in handler.http_methods
        if reaches_back(handler)
    }


def _handlers(app: Litestar) -> Iterator[tuple[HTTPRouteHandler, str]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in {id(handler): handler for handler, _ in route.route_handler_map.values()}.values():
                yield handler, route.path_format or "/"
