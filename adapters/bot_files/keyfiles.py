"""Encrypt secrets in the form in which Hummingbot keeps them.

A secret is a version 3 Ethereum keyfile, as JSON, as hex (hummingbot 20260922, `client/config/config_crypt.py`): PBKDF2
with HMAC-SHA256 makes a key of CONFIG_PASSWORD, whose first half encrypts with AES-128-CTR and whose second half is
hashed with the ciphertext, with Keccak-256, to tell a wrong password.
"""

import hashlib
import os
from threading import Lock

import msgspec
from Crypto.Hash import keccak
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

ROUNDS = 1_000_000
"""What Hummingbot itself writes. Each keyfile names its own number, and any is read."""
WORD = "HummingBot"
"""What Hummingbot encrypts to know its password again."""

_KEY_BYTES = 32
_SALT_BYTES = 16
_IV_BYTES = 16


class Keyfiles:
    """Encrypts under one password.

    The key is derived once, in a third of a second, and serves for all: what a salt of its own for each secret would
    protect, one password opens anyhow (ADR 97). Each secret has an IV of its own.
    """

    def __init__(self, password: str, *, rounds: int = ROUNDS) -> None:
        self._password = password
        self._rounds = rounds
        self._salt = os.urandom(_SALT_BYTES)
        self._key: bytes | None = None
        self._lock = Lock()

    def encrypt(self, secret: str) -> str:
        """Return the secret as Hummingbot reads it. Blocks, the first time for long."""
        key = self._derived()
        iv = os.urandom(_IV_BYTES)
        encryptor = Cipher(AES(key[:16]), CTR(iv)).encryptor()
        ciphertext = encryptor.update(secret.encode()) + encryptor.finalize()
        keyfile = {
            "crypto": {
                "cipher": "aes-128-ctr",
                "cipherparams": {"iv": iv.hex()},
                "ciphertext": ciphertext.hex(),
                "kdf": "pbkdf2",
                "kdfparams": {"c": self._rounds, "dklen": _KEY_BYTES, "prf": "hmac-sha256", "salt": self._salt.hex()},
                "mac": keccak.new(digest_bits=256, data=key[16:] + ciphertext).hexdigest(),
            },
            "version": 3,
            "alias": "",
        }
        return msgspec.json.encode(keyfile).hex()

    def _derived(self) -> bytes:
        with self._lock:
            if self._key is None:
                self._key = hashlib.pbkdf2_hmac(
                    "sha256", self._password.encode(), self._salt, self._rounds, dklen=_KEY_BYTES
                )
            return self._key
