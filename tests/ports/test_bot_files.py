"""The port of bots' files: one suite for the folders and for the fake."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.bot_files import S3
from commands.ports.bots import BotFiles
from domain.bots import ArchivePlace
from domain.errors import Invalid, NotFound, Unavailable
from tests.bot_files import AT, CONFIGS, KEYS, SOURCES, deployed, folders
from tests.fakes.bot_files import FakeBotFiles

HERE = ArchivePlace()
HOSTILE = ("", ".", "..", "../alpha", "a/b", "/etc/passwd", "a\0b", "a\nb", ".hidden", "a" * 200, "ä", "a b", "-" * 129)


@pytest.fixture(params=["folders", "fake"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> BotFiles:
    if request.param == "fake":
        return FakeBotFiles()
    # An address where nobody listens: no test here reaches S3.
    return folders(tmp_path / "bots", s3=S3(access_key="a", secret_key="b", endpoint_url="http://127.0.0.1:9"))


async def prepared(files: BotFiles, instance: str = "alpha") -> None:
    await files.prepare(deployed(instance), KEYS, SOURCES)


async def test_a_name_is_taken_once_it_has_files(files):
    assert not await files.taken("alpha")
    await prepared(files)
    assert await files.taken("alpha")
    assert not await files.taken("alph")


async def test_a_discarded_instance_leaves_its_name_free(files):
    await prepared(files)
    await files.discard("alpha")
    assert not await files.taken("alpha")
    with pytest.raises(NotFound):
        await files.configs("alpha")


async def test_discarding_twice_or_nothing_is_no_error(files):
    await files.discard("alpha")
    await prepared(files)
    await prepared(files, "beta")
    await files.discard("alpha")
    await files.discard("alpha")
    assert await files.taken("beta")


async def test_the_configs_are_those_of_the_order(files):
    await prepared(files)
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\n"}


async def test_a_config_that_was_written_is_read(files):
    await prepared(files)
    await files.write_config("alpha", "pmm_1", "id: pmm_1\nspread: 0.01 # ü\n")
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\nspread: 0.01 # ü\n"}


async def test_preparing_again_writes_the_order_again(files):
    await prepared(files)
    await files.write_config("alpha", "pmm_1", "id: other\n")
    await prepared(files)
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\n"}


async def test_what_is_not_there_cannot_be_read_or_changed(files):
    with pytest.raises(NotFound, match="alpha"):
        await files.configs("alpha")
    with pytest.raises(NotFound, match="alpha"):
        await files.write_config("alpha", "pmm_1", "")
    await prepared(files)
    with pytest.raises(NotFound, match="pmm_2"):
        await files.write_config("alpha", "pmm_2", "")


async def test_shredding_leaves_all_but_the_keys(files):
    await files.shred("alpha")
    await prepared(files)
    await files.shred("alpha")
    await files.shred("alpha")
    assert await files.taken("alpha")
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\n"}


async def test_an_archived_instance_is_gone_and_its_name_stays_taken(files):
    await prepared(files)
    assert await files.archive("alpha", HERE, AT) == "archived/alpha"
    assert await files.taken("alpha")
    with pytest.raises(NotFound):
        await files.configs("alpha")


async def test_archiving_again_says_where_it_lies(files):
    await prepared(files)
    await files.archive("alpha", HERE, AT)
    assert await files.archive("alpha", HERE, AT) == "archived/alpha"


async def test_nothing_cannot_be_archived(files):
    with pytest.raises(NotFound, match="alpha"):
        await files.archive("alpha", HERE, AT)


async def test_no_archive_is_written_over_another(files):
    await prepared(files)
    await files.archive("alpha", HERE, AT)
    await prepared(files)
    with pytest.raises(Unavailable, match="another archive"):
        await files.archive("alpha", HERE, AT)
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\n"}


async def test_a_place_that_does_not_take_it_leaves_the_folder(files):
    await prepared(files)
    with pytest.raises(Unavailable, match="nowhere"):
        await files.archive("alpha", ArchivePlace(bucket="nowhere"), AT)
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\n"}


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_name_that_is_none_is_refused_everywhere(files, name):
    await prepared(files)
    calls = (
        files.taken(name),
        files.prepare(deployed(name), {}, {}),
        files.discard(name),
        files.shred(name),
        files.archive(name, HERE, AT),
        files.configs(name),
        files.write_config(name, "pmm_1", ""),
    )
    for call in calls:
        with pytest.raises(Invalid, match="name"):
            await call
    if name:  # `.yml` is hidden as well
        with pytest.raises((Invalid, NotFound)):
            await files.write_config("alpha", name, "")
    assert await files.configs("alpha") == {"pmm_1": "id: pmm_1\n"}


@pytest.mark.parametrize(
    "path",
    ["conf_client.yml", "../x.yml", "scripts/../x.yml", "scripts/a/b.yml", "/scripts/a.yml", "scripts/.a.yml",
     "controllers/", "connectors/binance.yml", "scripts/a.py", "scripts/a\0.yml"],
    ids=range(10),
)  # fmt: skip
async def test_a_config_goes_nowhere_else(files, path):
    with pytest.raises(Invalid):
        await files.prepare(deployed(configs={**CONFIGS, path: "x"}), KEYS, SOURCES)
    assert not await files.taken("alpha")


async def test_a_connector_is_no_path(files):
    with pytest.raises((Invalid, NotFound)):
        await files.prepare(deployed(), {"../../x": {"key": "y"}}, SOURCES)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200))
async def test_any_text_is_kept_as_it_is(files, text):
    await prepared(files)
    await files.write_config("alpha", "pmm_1", text)
    assert await files.configs("alpha") == {"pmm_1": text}
