from adapters.banner import banner
from adapters.private_broker import Broker
from adapters.settings import Settings

MOSQUITTO = Broker(host="127.0.0.1", port=1884, kind="mosquitto")


def shown(broker: Broker | None = None, host: str = "127.0.0.1", **environment: str) -> str:
    return banner(Settings.from_environment(environment), host=host, port=8000, broker=broker)


def test_it_says_where_everything_is(tmp_path):
    text = shown(MOSQUITTO, NECTAR_DATA=str(tmp_path))
    assert "http://127.0.0.1:8000\n" in text
    assert "http://127.0.0.1:8000/docs" in text
    assert str(tmp_path) in text
    assert "embedded Postgres" in text
    assert "127.0.0.1:1884" in text
    assert "default password" in text


def test_an_embedded_broker_is_named_as_fit_for_a_trial_only():
    assert "fit for a trial only" in shown(Broker(host="127.0.0.1", port=1883, kind="embedded"))
    assert "trial" not in shown(MOSQUITTO)


def test_a_server_on_all_addresses_is_reached_on_this_machine_s():
    assert "http://127.0.0.1:8000/docs" in shown(host="0.0.0.0")
    assert "http://[::1]:8000/docs" in shown(host="::")
    assert "http://[fe80::1]:8000/docs" in shown(host="fe80::1")


def test_servers_of_others_are_named_without_their_passwords():
    text = shown(
        DATABASE_URL="postgresql://ann:hunter2@db:5433/nectar",
        BROKER_HOST="emqx",
        BROKER_PASSWORD="hunter3",
        PASSWORD="hunter4",
    )
    assert "Postgres at db:5433/nectar" in text
    assert "MQTT at emqx:1883" in text
    assert "hunter" not in text
    assert "default" not in text


def test_a_server_of_some_parts_names_them():
    assert "read, write, work" in shown(PARTS="work,read,write")
    assert "Parts" not in shown()
    assert "none" in shown()
