"""An instance's folder: what is in it, who may read it, and what stays when it is written again."""

import asyncio
import os
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from adapters.bot_files import BrokerAddress
from adapters.bot_files.conf import client, connector, logs
from adapters.bot_files.keyfiles import ROUNDS, Keyfiles
from domain.bots import ArchivePlace
from domain.errors import Invalid, NotFound, Unavailable
from tests.bot_files import (
    AT,
    CONFIGS,
    KEYS,
    SECRETS,
    SOURCES,
    decrypted,
    deployed,
    files_of,
    folders,
    holds_keys,
    modes_of,
)

CERTS = ("ca_cert.pem", "ca_key.pem", "server_cert.pem", "server_key.pem", "client_cert.pem", "client_key.pem")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "bots"


@pytest.fixture
async def alpha(root: Path) -> Path:
    await folders(root).prepare(deployed(), KEYS, SOURCES)
    return root / "instances" / "alpha"


async def test_an_instance_has_these_files_and_no_others(alpha):
    assert set(files_of(alpha)) == {
        "conf/.password_verification",
        "conf/conf_client.yml",
        "conf/conf_fee_overrides.yml",
        "conf/connectors/binance.yml",
        "conf/connectors/hyperliquid_perpetual.yml",
        "conf/controllers/pmm_1.yml",
        "conf/hummingbot_logs.yml",
        "conf/scripts/alpha.yml",
    }
    assert sorted(each.name for each in alpha.iterdir()) == ["conf", "data", "logs"]


async def test_nobody_else_may_read_an_instance(root, alpha):
    before = os.umask(0)
    try:
        await folders(root).prepare(deployed("beta"), KEYS, SOURCES)
    finally:
        os.umask(before)
    for folder in (alpha, alpha.parent / "beta"):
        for path, mode in modes_of(folder).items():
            assert mode == (0o700 if (folder / path).is_dir() else 0o600), path
    assert alpha.parent.stat().st_mode & 0o777 == 0o700


async def test_keys_are_in_hummingbots_form(alpha):
    binance = yaml.safe_load((alpha / "conf/connectors/binance.yml").read_text(encoding="utf-8"))
    assert list(binance) == ["connector", "binance_api_key", "binance_api_secret"]
    assert binance["connector"] == "binance"
    assert decrypted(binance["binance_api_key"]) == "key-44c1"
    assert decrypted(binance["binance_api_secret"]) == "secret-ü-9d02"
    word = (alpha / "conf/.password_verification").read_text(encoding="ascii")
    assert decrypted(word) == "HummingBot"


async def test_what_is_no_secret_is_written_in_the_open(alpha):
    text = (alpha / "conf/connectors/hyperliquid_perpetual.yml").read_text(encoding="utf-8")
    keys = yaml.safe_load(text)
    assert keys["hyperliquid_perpetual_mode"] == "api_wallet"
    assert keys["use_vault"] is False
    assert decrypted(keys["hyperliquid_perpetual_secret_key"]) == "phrase-5a60"


def test_a_field_that_nobody_knows_is_a_secret():
    text = connector("binance", {"new_field": "key-44c1", "empty": "", "none": None}, {}, Keyfiles("p", rounds=1))
    written = yaml.safe_load(text)
    assert decrypted(written["new_field"], "p") == "key-44c1"
    assert (written["empty"], written["none"]) == ("", "")  # Hummingbot decrypts no empty value


async def test_the_paper_venue_has_no_file_of_keys(root):
    await folders(root).prepare(deployed(), {"paper": {}, "paper_perpetual": {}}, SOURCES)
    assert files_of(root / "instances/alpha/conf/connectors") == {}


async def test_a_bot_finds_the_broker_under_its_own_name(alpha):
    settings = yaml.safe_load((alpha / "conf/conf_client.yml").read_text(encoding="utf-8"))
    assert settings["instance_id"] == "alpha"
    bridge = settings["mqtt_bridge"]
    assert (bridge["mqtt_host"], bridge["mqtt_port"]) == ("broker.local", 1884)
    assert (bridge["mqtt_username"], bridge["mqtt_password"]) == ("bots", "broker-word-93ab")
    assert bridge["mqtt_autostart"] is True
    assert (settings["send_error_logs"], settings["anonymized_metrics_mode"]) == (False, "anonymized_metrics_disabled")
    assert "gateway" not in settings


@pytest.mark.parametrize(
    "word", ["on", "1e3", "012", "12:30:45", "~", "a: b #c", "'\"\\", "ü😀\x7f\t", " x "], ids=range(9)
)
def test_any_password_reaches_the_bot(word):
    broker = BrokerAddress(host="h", port=1, username=word, password=word)
    bridge = yaml.safe_load(client("on", broker, gateway=False))["mqtt_bridge"]
    assert (bridge["mqtt_username"], bridge["mqtt_password"]) == (word, word)


def test_logs_go_to_a_file_and_to_the_broker_but_for_each_markets_events():
    config = yaml.safe_load(logs())
    assert config["handlers"]["file"]["filename"] == "$PROJECT_DIR/logs/logs_$STRATEGY_FILE_PATH.log"
    assert config["root"]["mqtt"] is True
    assert {name for name, each in config["loggers"].items() if not each["mqtt"]} == {
        "hummingbot.core.event.event_reporter", "conf",
    }  # fmt: skip
    assert {each for logger in config["loggers"].values() for each in logger["handlers"]} <= set(config["handlers"])


async def test_preparing_again_keeps_what_the_bot_wrote_and_drops_old_keys(root, alpha):
    (alpha / "data" / "alpha.sqlite").write_bytes(b"trades")
    (alpha / "conf/connectors/okx.yml").write_text("connector: okx")
    (alpha / "conf/.conf_client.yml.0123abcd.new").write_text("half")
    await folders(root).prepare(deployed(), {"binance": KEYS["binance"]}, SOURCES)
    assert (alpha / "data" / "alpha.sqlite").read_bytes() == b"trades"
    assert list(files_of(alpha / "conf/connectors")) == ["binance.yml"]
    assert not (alpha / "conf/.conf_client.yml.0123abcd.new").exists()


async def test_shredding_takes_keys_certificates_and_passwords(root, alpha):
    for name in CERTS:
        (alpha / "certs").mkdir(exist_ok=True)
        (alpha / "certs" / name).write_text("x")
    (alpha / "conf/.conf_client.yml.0123abcd.new").write_text("broker-word-93ab")
    before = files_of(alpha)
    await folders(root).shred("alpha")
    assert holds_keys(alpha) == []
    after = files_of(alpha)
    assert set(before) - set(after) == {
        path for path in before if path.startswith(("conf/connectors/", "certs/", "conf/."))
    }
    assert {path for path in after if after[path] != before[path]} == {"conf/conf_client.yml"}
    assert (alpha / "conf/connectors").is_dir()


@pytest.mark.parametrize(
    "text", [b"- a", b"a: [", b"\xff", b"[" * 5000, b"", b"deep: {db_password: key-44c1}"], ids=range(6)
)
async def test_whatever_the_bot_wrote_into_its_settings_the_password_goes(root, alpha, text):
    (alpha / "conf/conf_client.yml").write_bytes(text)
    await folders(root).shred("alpha")
    settings = yaml.safe_load((alpha / "conf/conf_client.yml").read_bytes())
    assert (settings["instance_id"], settings["mqtt_bridge"]["mqtt_password"]) == ("alpha", "")


async def test_a_bot_gets_the_clients_certificate_and_no_other_key(root):
    certs = root / "gateway-files" / "certs"
    certs.mkdir(parents=True)
    for name in CERTS:
        (certs / name).write_text(name)
    await folders(root).prepare(deployed(), KEYS, SOURCES)
    alpha = root / "instances" / "alpha"
    assert set(files_of(alpha / "certs")) == {"ca_cert.pem", "client_cert.pem", "client_key.pem"}
    assert set(modes_of(alpha / "certs").values()) == {0o700, 0o600}
    assert yaml.safe_load((alpha / "conf/conf_client.yml").read_bytes())["gateway"] == {"gateway_use_ssl": True}

    (certs / "client_key.pem").unlink()  # the Gateway is gone
    await folders(root).prepare(deployed(), KEYS, SOURCES)
    assert not (alpha / "certs").exists()
    assert "gateway" not in yaml.safe_load((alpha / "conf/conf_client.yml").read_bytes())


async def test_sources_are_written_where_containers_see_them(root, alpha):
    assert {path: content for path, content in files_of(root).items() if not path.startswith("instances/")} == {
        "controllers/__init__.py": b"",
        "controllers/generic/__init__.py": b"",
        "controllers/generic/pmm.py": SOURCES["controllers/generic/pmm.py"].encode(),
        "scripts/__init__.py": b"",
        "scripts/v2_with_controllers.py": SOURCES["scripts/v2_with_controllers.py"].encode(),
    }


async def test_only_sources_that_differ_are_written(root, alpha):
    same, other = root / "controllers/generic/pmm.py", root / "scripts/v2_with_controllers.py"
    before = same.stat().st_ino
    other.write_text("altered by a bot")
    await folders(root).prepare(deployed(), KEYS, SOURCES)
    assert same.stat().st_ino == before
    assert other.read_text(encoding="utf-8") == SOURCES["scripts/v2_with_controllers.py"]


async def test_sources_that_the_log_does_not_know_stay_and_are_named_once(root, alpha):
    own = root / "scripts" / "own.py"
    own.write_text("mine")
    (root / "controllers/generic/__init__.py").write_text("mine too")
    files = folders(root)
    with capture_logs() as lines:
        await files.prepare(deployed(), KEYS, SOURCES)
        await files.prepare(deployed(), KEYS, SOURCES)
    assert [line for line in lines if line["event"] == "unknown_sources"] == [
        {"event": "unknown_sources", "log_level": "warning", "paths": ["scripts/own.py"]}
    ]
    assert own.read_text(encoding="utf-8") == "mine"
    assert (root / "controllers/generic/__init__.py").read_text(encoding="utf-8") == "mine too"


@pytest.mark.parametrize(
    "path",
    ["../x.py", "scripts/../../x.py", "/scripts/x.py", "scripts/a/x.py", "controllers/a/b/x.py", "scripts/.x.py",
     "controllers/x.py", "instances/alpha.py", "scripts/x.sh", "scripts/", "", "scripts/a\0.py"],
    ids=range(12),
)  # fmt: skip
async def test_a_source_goes_nowhere_else(root, path):
    with pytest.raises(Invalid, match="Invalid"):
        await folders(root).prepare(deployed(), KEYS, {path: "x"})
    assert not (root / "instances").exists()


LINKS = [
    "instances", "instances/alpha", "instances/alpha/conf", "instances/alpha/conf/controllers",
    "instances/alpha/conf/connectors", "instances/alpha/conf/scripts", "scripts", "controllers/generic",
]  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
async def test_no_link_leads_out(root, alpha, tmp_path, link):
    outside = tmp_path / "outside"
    (root / link).rename(outside)
    (root / link).symlink_to(outside, target_is_directory=True)
    before = files_of(outside)
    files = folders(root)
    with pytest.raises(Unavailable, match="Not a directory"):
        await files.prepare(
            deployed(configs=CONFIGS | {"controllers/new.yml": "x"}), KEYS, SOURCES | {"scripts/new.py": ""}
        )
    refused = await asyncio.gather(
        files.shred("alpha"),
        files.write_config("alpha", "pmm_1", "changed"),
        files.archive("alpha", ArchivePlace(), AT),
        files.discard("alpha"),
        return_exceptions=True,
    )
    assert {type(each) for each in refused} <= {Unavailable, NotFound, str, type(None)}
    assert files_of(outside) == before


async def test_a_config_that_is_a_link_is_neither_read_nor_written(root, alpha, tmp_path):
    secret = tmp_path / "secret.yml"
    secret.write_text("key-44c1")
    (alpha / "conf/controllers/pmm_1.yml").unlink()
    (alpha / "conf/controllers/pmm_1.yml").symlink_to(secret)
    os.mkfifo(alpha / "conf/controllers/pipe.yml")
    (alpha / "conf/controllers/folder.yml").mkdir()
    files = folders(root)
    assert await files.configs("alpha") == {}
    for name in ("pmm_1", "pipe", "folder"):
        with pytest.raises(NotFound, match=f"Bot 'alpha' has no config '{name}'"):
            await files.write_config("alpha", name, "changed")
    assert secret.read_text(encoding="utf-8") == "key-44c1"


async def test_a_config_that_is_no_text_is_refused_by_name(root, alpha):
    (alpha / "conf/controllers/pmm_1.yml").write_bytes(b"\xff")
    with pytest.raises(Invalid, match="'pmm_1' of bot 'alpha' is not UTF-8"):
        await folders(root).configs("alpha")


async def test_a_reader_never_sees_half_a_config(root, alpha):
    files, path = folders(root), alpha / "conf/controllers/pmm_1.yml"
    texts = [f"{n}" * 200_000 for n in range(3)]
    await files.write_config("alpha", "pmm_1", texts[0])
    seen = set()
    writing = asyncio.gather(*(files.write_config("alpha", "pmm_1", texts[n % 3]) for n in range(60)))
    while not writing.done():
        seen.add(path.read_text(encoding="utf-8"))
        await asyncio.sleep(0)
    await writing
    assert seen <= set(texts)
    assert files_of(alpha / "conf/controllers") == {"pmm_1.yml": path.read_bytes()}


async def test_a_full_disk_is_said_and_leaves_the_config_as_it_was(root, alpha, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="bot 'alpha' cannot be written: No space left on device"):
        await folders(root).write_config("alpha", "pmm_1", "changed")
    monkeypatch.undo()
    assert files_of(alpha / "conf/controllers") == {"pmm_1.yml": b"id: pmm_1\n"}


async def test_many_are_prepared_at_once_and_nobody_waits_for_the_key(root):
    files = folders(root, rounds=ROUNDS)
    preparing = asyncio.gather(*(files.prepare(deployed(f"bot-{n}"), KEYS, SOURCES) for n in range(12)))
    turns = 0
    while not preparing.done():
        await asyncio.sleep(0)
        turns += 1
    await preparing
    assert turns > 100  # 1 or 2 where the loop is blocked while the key is derived
    contents = [set(files_of(root / "instances" / f"bot-{n}")) for n in range(12)]
    assert all(each == contents[0] for each in contents)
    assert decrypted((root / "instances/bot-7/conf/.password_verification").read_text(encoding="ascii")) == "HummingBot"
    assert files_of(root / "scripts").keys() == {"__init__.py", "v2_with_controllers.py"}


async def test_no_secret_is_said_or_logged(root, alpha, monkeypatch):
    files = folders(root)
    said = [repr(files), str(vars(files)), repr(BrokerAddress(host="h", port=1, password="broker-word-93ab"))]
    (root / "instances/beta").write_text("in the way")
    with capture_logs() as lines, pytest.raises(Unavailable) as refused:
        await files.prepare(deployed("beta"), KEYS, SOURCES)
    said += [repr(refused.value), repr(refused.value.__cause__), str(lines)]
    with pytest.raises(Invalid) as wrong:
        await files.prepare(deployed("gamma", {"x": "key-44c1"}), KEYS, SOURCES)
    said.append(repr(wrong.value))
    assert [secret for secret in SECRETS if secret in " ".join(said)] == []


async def test_keys_on_disk_are_never_in_the_open(root, alpha):
    contents = b"".join(content for path, content in files_of(root).items() if not path.endswith("conf_client.yml"))
    assert [secret for secret in SECRETS if secret.encode() in contents] == []
