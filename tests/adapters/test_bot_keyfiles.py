"""Secrets in Hummingbot's form: what its library decrypts, and that nothing else does."""

import json

import pytest
from eth_keyfile.keyfile import decode_keyfile_json
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bot_files.keyfiles import ROUNDS, Keyfiles
from tests.bot_files import decrypted


@settings(max_examples=200, deadline=None)
@given(secret=st.text(max_size=300), password=st.text(min_size=1, max_size=40))
def test_what_is_encrypted_is_decrypted_by_the_library_that_bots_use(secret, password):
    assert decrypted(Keyfiles(password, rounds=1).encrypt(secret), password) == secret


def test_another_password_opens_nothing():
    encrypted = Keyfiles("one", rounds=1).encrypt("secret")
    with pytest.raises(ValueError, match="MAC mismatch"):
        decrypted(encrypted, "two")


def test_a_changed_secret_is_noticed():
    keyfile = json.loads(bytes.fromhex(Keyfiles("one", rounds=1).encrypt("secret")))
    keyfile["crypto"]["ciphertext"] = "00" + keyfile["crypto"]["ciphertext"][2:]
    with pytest.raises(ValueError, match="MAC mismatch"):
        decode_keyfile_json(keyfile, b"one")


def test_the_same_secret_looks_different_each_time():
    keys = Keyfiles("one", rounds=1)
    ciphertexts = {json.loads(bytes.fromhex(keys.encrypt("secret")))["crypto"]["ciphertext"] for _ in range(50)}
    assert len(ciphertexts) == 50


def test_servers_do_not_share_a_salt():
    salts = {
        json.loads(bytes.fromhex(Keyfiles("one", rounds=1).encrypt("x")))["crypto"]["kdfparams"]["salt"]
        for _ in range(10)
    }
    assert len(salts) == 10


def test_a_password_costs_as_much_as_hummingbots_own():
    keyfile = json.loads(bytes.fromhex(Keyfiles("one").encrypt("secret")))
    assert keyfile["crypto"]["kdfparams"] | {"salt": ""} == {
        "c": 1_000_000, "dklen": 32, "prf": "hmac-sha256", "salt": "",
    }  # fmt: skip
    assert ROUNDS == 1_000_000
    assert decode_keyfile_json(keyfile, b"one") == b"secret"
