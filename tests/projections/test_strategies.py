"""What strategies there are, as the views say."""

from commands.ports import Log
from projections import strategies
from projections.replay import rebuild
from projections.view import Connection
from projections.views import VIEWS
from tests.fakes.lookup import ScanningLookup
from tests.projections.given import tell
from tests.projections.strategies import STRATEGIES


async def test_the_view_shows_what_was_saved_last(database_url: str, log: Log, connection: Connection):
    await tell(log, STRATEGIES)
    await rebuild(database_url, log, VIEWS)
    assert await strategies.paths(connection, "scripts") == ["scripts/odd.py", "scripts/watch.py"]
    assert await strategies.paths(connection, "controllers") == [
        "controllers/generic/grid.py",
        "controllers/market_making/grid.py",
    ]
    assert await strategies.sources(connection, ["scripts/watch.py", "scripts/gone.py"]) == {
        "scripts/watch.py": "a = 2\n"
    }
    assert await strategies.configs(connection, "controllers") == {"grid_btc": '{"leverage":6}'}
    assert await strategies.configs(connection, "scripts") == {
        "grid_btc": '{"script_file_name":"watch.py"}',
        "other": "{}",
    }
    assert await strategies.configs(connection, "scripts", "other") == {"other": "{}"}
    assert await strategies.configs(connection, "controllers", "other") == {}


async def test_the_sources_are_those_that_the_whole_log_says(database_url: str, log: Log, connection: Connection):
    await tell(log, STRATEGIES)
    await rebuild(database_url, log, VIEWS)
    expected = await ScanningLookup(log).sources()
    assert await strategies.sources(connection) == {
        path: source.replace("\0", "\ufffd") for path, source in sorted(expected.items())
    }
