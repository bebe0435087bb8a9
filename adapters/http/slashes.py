"""Let a part of a path that holds slashes itself be one parameter.

The framework matches such a parameter at the end of a path alone, and the wire contract has one in the middle:
`/archived-bots/{db_path}/status`, where the database's path stands as it is. In front of the routes its slashes become
a character that no path has, and the routes make them slashes again.
"""

from collections.abc import Collection, Mapping

from adapters.http.protocol import App, Receive, Scope, Send

_SLASH = "\x1f"


def slashed(part: str) -> str:
    """Return a parameter as it stood in the path."""
    return part.replace(_SLASH, "/")


class Slashes:
    """Joins what stands between a prefix and one of its last words to one part; without such a word, all behind it.

    `prefixes` is prefix → last words, as `{"/archived-bots/": {"status"}}`.
    """

    def __init__(self, app: App, prefixes: Mapping[str, Collection[str]]) -> None:
        self._app = app
        self._prefixes = prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, its path joined if it is one of those."""
        if scope["type"] == "http":
            path = scope["path"]
            for prefix, words in self._prefixes.items():
                if path.startswith(prefix):
                    # In place: whoever stands in front reads from the same scope which route it was.
                    scope["path"] = prefix + _joined(path.removeprefix(prefix).removesuffix("/"), words)
        await self._app(scope, receive, send)


def _joined(rest: str, words: Collection[str]) -> str:
    part, slash, word = rest.rpartition("/")
    if slash and part and word in words:
        return f"{part.replace('/', _SLASH)}/{word}"
    return rest.replace("/", _SLASH)
