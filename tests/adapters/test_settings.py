from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from adapters.settings import PARTS, Settings, WrongSetting, is_loopback, read_env_file, refuse_open_door


def settings(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def test_nothing_set_gives_the_reference_s_defaults():
    s = settings()
    assert (s.username, s.password, s.config_password) == ("admin", "admin", "a")
    assert (s.database_url, s.broker_host, s.broker_port) == (None, None, 1883)
    assert s.account_update_interval == 5
    assert s.banned_tokens == {"NAV", "ARS", "ETHW", "ETHF"}
    assert s.parts == set(PARTS)


def test_data_lies_in_the_working_directory_and_the_bots_with_it():
    s = settings()
    assert s.data == s.bots_path == Path.cwd() / "data"


def test_bots_may_lie_elsewhere(tmp_path):
    s = settings(NECTAR_DATA=str(tmp_path / "d"), BOTS_PATH=str(tmp_path / "b"))
    assert (s.data, s.bots_path) == (tmp_path / "d", tmp_path / "b")


def test_an_empty_value_is_none_at_all():
    assert settings(DATABASE_URL="", PASSWORD=" ", BROKER_PORT="") == settings()


def test_the_reference_s_database_url_is_taken():
    url = settings(DATABASE_URL="postgresql+asyncpg://u:p@db:5432/n").database_url
    assert url == "postgresql://u:p@db:5432/n"


@pytest.mark.parametrize("value", ["XRP,DOGE", '["XRP", "DOGE"]', " XRP , DOGE ,"])
def test_lists_come_as_json_or_between_commas(value):
    assert settings(BANNED_TOKENS=value).banned_tokens == {"XRP", "DOGE"}


def test_runtimes_that_are_gone_are_named_as_events_name_them():
    gone = "docker:6f1c2d9e-4b7a-4c57-9a55-0f6c1b8d7e21, swarm:k3v0z,docker:ABCD:EFGH"
    assert settings(BOT_RUNTIMES_GONE=gone).bot_runtimes_gone == {part.strip() for part in gone.split(",")}
    assert settings().bot_runtimes_gone == frozenset()


def test_parts_can_be_named():
    assert settings(PARTS="read,write,work").parts == {"read", "write", "work"}


def test_starting_balances_of_one_paper_connector_leave_the_other_s():
    s = settings(PAPER_BALANCES='{"paper": {"BTC": "0.5"}}')
    assert s.paper_balances == {"paper": {"BTC": Decimal("0.5")}, "paper_perpetual": {"USDT": Decimal(50_000)}}


def test_an_empty_origin_pattern_is_not_the_default_one():
    assert not settings(CORS_ALLOW_ORIGIN_REGEX="").cors_origin_regex
    assert "localhost" in settings().cors_origin_regex


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("BROKER_PORT", "70000", "between 1 and 65535"),
        ("BROKER_PORT", "0", "between 1 and 65535"),
        ("BROKER_PORT", "mqtt", "whole number"),
        ("BROKER_PORT", "1883.0", "whole number"),
        ("BROKER_PORT", "9" * 5000, "whole number"),
        ("ACCOUNT_UPDATE_INTERVAL", "0", "between 1 and 1440"),
        ("ACCOUNT_UPDATE_INTERVAL", "-5", "between 1 and 1440"),
        ("BANNED_TOKENS", '["XRP"', "JSON list"),
        ("BANNED_TOKENS", "[1]", "JSON list"),
        ("DATABASE_URL", "mysql://u:p@db/n", "postgresql://"),
        ("DATABASE_URL", "db", "postgresql://"),
        ("GATEWAY_URL", "http://localhost:15888", "https://"),
        ("LOG_LEVEL", "loud", "debug, info"),
        ("PARTS", "read,wrote", "neither 'all' nor"),
        ("PARTS", ",", "no part"),
        ("PARTS", "read,project", "must hold read, write and work"),
        ("CORS_ALLOW_ORIGINS", "*", "origin"),
        ("CORS_ALLOW_ORIGINS", "https://a.example/path", "origin"),
        ("CORS_ALLOW_ORIGIN_REGEX", "(", "regular expression"),
        ("MARKET_DATA_WS_MIN_UPDATE_INTERVAL", "61", "MARKET_DATA_WS_MAX_UPDATE_INTERVAL"),
        ("PAPER_FEED", "nowhere.csv", "not a file"),
        ("PAPER_SEED", "-1", "between 0"),
        ("PAPER_TICK_SECONDS", "NaN", "between 0.01"),
        ("PAPER_TICK_SECONDS", "soon", "not a number"),
        ("PAPER_TAKER_FEE", "-0.001", "between 0"),
        ("PAPER_MAKER_FEE", "1", "between -0.01"),
        ("PAPER_BALANCES", "{}x", "JSON"),
        ("PAPER_BALANCES", '{"binance": {"BTC": "1"}}', "none of paper"),
        ("PAPER_BALANCES", '{"paper": {"BTC": "-1"}}', "between 0"),
        ("PAPER_BALANCES", '{"paper": {"BTC": "NaN"}}', "between 0"),
        ("USERNAME", "ad\x00min", "cannot be printed"),
        ("USERNAME", "ad:min", "holds a colon"),
        ("BOT_SWARM_VOLUME_DRIVER", "local", "leave it unset"),
        ("BOT_SWARM_VOLUME_OPTIONS", '{"share": "a"}', "needs BOT_SWARM_VOLUME_DRIVER"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name, value, why):
    with pytest.raises(WrongSetting) as refusal:
        settings(**{name: value})
    assert refusal.value.name == name
    assert name in str(refusal.value)
    assert why in str(refusal.value)


def test_volumes_of_a_swarm_have_a_driver_and_its_options():
    s = settings(BOT_SWARM_VOLUME_DRIVER="shared", BOT_SWARM_VOLUME_OPTIONS='{"share": "bots"}')
    assert (s.bot_swarm_volume_driver, s.bot_swarm_volume_options) == ("shared", {"share": "bots"})
    assert settings().bot_swarm_volume_driver is None
    with pytest.raises(WrongSetting, match="JSON object of strings"):
        settings(BOT_SWARM_VOLUME_DRIVER="shared", BOT_SWARM_VOLUME_OPTIONS='{"size": 1}')


@pytest.mark.parametrize(
    ("command", "name"),
    [(None, "BOT_RUNTIME"), ("/no/such/bot --headless", "BOT_COMMAND"), ("no-such-bot", "BOT_COMMAND")],
)
def test_bots_as_processes_need_a_program_that_is_there(command, name):
    given = {} if command is None else {"BOT_COMMAND": command}
    with pytest.raises(WrongSetting) as refusal:
        settings(BOT_RUNTIME="process", PATH="/usr/bin:/bin", **given)
    assert refusal.value.name == name
    assert settings(BOT_RUNTIME="process", PATH="/usr/bin:/bin", BOT_COMMAND="sh bot.sh").bot_command == (
        "sh",
        "bot.sh",
    )
    assert settings(**given).bot_runtime == "docker"  # which needs none


@given(
    name=st.sampled_from(
        ["BROKER_PORT", "BANNED_TOKENS", "PARTS", "PAPER_BALANCES", "PAPER_MAKER_FEE", "DATABASE_URL"]
    ),
    value=st.text(),
)
def test_any_text_is_taken_or_refused(name, value):
    with suppress(WrongSetting):
        settings(**{name: value})


@pytest.mark.parametrize("name", ["DATABASE_URL", "PASSWORD", "CONFIG_PASSWORD"])
def test_a_refusal_never_shows_a_secret(name):
    with pytest.raises(WrongSetting) as refusal:
        settings(**{name: "hunter2\x07"})
    assert "hunter2" not in str(refusal.value)


def test_settings_never_show_a_secret():
    s = settings(PASSWORD="hunter2", CONFIG_PASSWORD="hunter3", AWS_SECRET_KEY="hunter4")
    assert "hunter" not in f"{s!r} {s} {pretty_repr(s)}"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_the_default_password_is_good_enough_for_this_machine(host):
    assert is_loopback(host)
    refuse_open_door(settings(), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_the_default_password_opens_no_door_to_others(host):
    with pytest.raises(WrongSetting, match=r"PASSWORD.*loopback") as refusal:
        refuse_open_door(settings(), host)
    assert f"'{host}'" in str(refusal.value)
    refuse_open_door(settings(PASSWORD="a better one"), host)


def test_debug_mode_is_ignored_with_a_remark():
    assert any("DEBUG_MODE" in remark for remark in settings(DEBUG_MODE="true").remarks)
    assert not any("DEBUG_MODE" in remark for remark in settings(DEBUG_MODE="false").remarks)


def test_an_env_file_is_read(tmp_path):
    path = tmp_path / ".env"
    path.write_text(
        "# ours\n\nUSERNAME=ann\nexport PASSWORD='it # is'\nBROKER_PORT = 1884 # free\nEMPTY=\n"
        'BANNED_TOKENS=["A","B"]\nQUOTED="a b"\nURL=postgresql://u:p=1@h/d#x\n'
    )
    assert read_env_file(path) == {
        "USERNAME": "ann",
        "PASSWORD": "it # is",
        "BROKER_PORT": "1884",
        "EMPTY": "",
        "BANNED_TOKENS": '["A","B"]',
        "QUOTED": "a b",
        "URL": "postgresql://u:p=1@h/d#x",
    }


def test_no_env_file_is_no_setting(tmp_path):
    assert read_env_file(tmp_path / ".env") == {}


def test_a_line_that_is_none_is_refused_by_its_number(tmp_path):
    path = tmp_path / ".env"
    path.write_text("USERNAME=ann\njust words\n")
    with pytest.raises(WrongSetting, match="line 2"):
        read_env_file(path)


def test_the_example_file_shows_the_defaults():
    example = Path(__file__).parents[2] / ".env.example"
    shown = example.read_text().replace("# ", "").splitlines()
    values = dict(line.split("=", 1) for line in shown if line.partition("=")[0].isupper() and "=" in line)
    examples = {"DATABASE_URL", "CORS_ALLOW_ORIGINS"}
    assert settings(**{name: value for name, value in values.items() if name not in examples}) == settings()
    assert settings(**{name: values[name] for name in examples}) != settings()


@pytest.mark.parametrize("url", ["postgresql://u:se%zzcret@h/d", "postgresql://u:se@cret@h/d"])
def test_a_database_url_that_cannot_be_read_is_refused_without_showing_it(url):
    with pytest.raises(WrongSetting) as refused:
        settings(DATABASE_URL=url)
    assert "cret" not in str(refused.value)


def test_balances_of_a_paper_trade_connector_are_taken_and_those_of_no_connector_are_not():
    taken = Settings.from_environment({"PAPER_BALANCES": '{"binance_paper_trade": {"USDT": "5"}}'})
    assert taken.paper_balances["binance_paper_trade"] == {"USDT": Decimal(5)}
    with pytest.raises(WrongSetting, match="nosuch_paper_trade' is none of"):
        Settings.from_environment({"PAPER_BALANCES": '{"nosuch_paper_trade": {}}'})


def test_urls_of_venues_come_from_a_file(tmp_path):
    file = tmp_path / "urls.json"
    file.write_text('{"binance": {"api": {"public": "http://127.0.0.1:1/api/v3"}}}')
    assert Settings.from_environment({"VENUE_URLS": str(file)}).venue_urls == {
        "binance": {"api": {"public": "http://127.0.0.1:1/api/v3"}}
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "is not a JSON file"), ('{"nosuch": {}}', "is no connector"), ('{"binance": 1}', "is not a JSON file")],
)
def test_a_file_of_urls_that_is_wrong_stops_the_start(tmp_path, text, why):
    file = tmp_path / "urls.json"
    file.write_text(text)
    with pytest.raises(WrongSetting, match=why):
        Settings.from_environment({"VENUE_URLS": str(file)})


def test_a_file_of_urls_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(WrongSetting, match="cannot be read"):
        Settings.from_environment({"VENUE_URLS": str(tmp_path / "nothing.json")})
