"""Private keys of wallets, on the curve secp256k1."""

import hashlib
import hmac
import re
import unicodedata

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.errors import Invalid

_HARDENED = 1 << 31
_PATH = (44 + _HARDENED, 118 + _HARDENED, 0 + _HARDENED, 0, 0)  # the first address of the first account of coin 118
_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # of secp256k1
_WORDS = (12, 15, 18, 21, 24)


def is_private_key(text: str) -> bool:
    """Whether a text is a private key in hex, with or without `0x` before it."""
    digits = text.removeprefix("0x")
    return re.fullmatch(r"[0-9a-fA-F]{64}", digits) is not None and 0 < int(digits, 16) < _ORDER


def private_key(phrase: str) -> str:
    """Return the private key of a secret phrase's first address, in hex.

    It is the one that wallets of the Cosmos chains make of the phrase (BIP-39, BIP-32, BIP-44). Whether the words are
    those of a wallet is not checked: a wrong word is another wallet, which the venue does not know.

    Raises `Invalid` for a number of words that no wallet gives.
    """
    words = unicodedata.normalize("NFKD", phrase).split()
    if len(words) not in _WORDS:
        raise Invalid(f"A secret phrase has {', '.join(map(str, _WORDS))} words, not {len(words)}")
    seed = hashlib.pbkdf2_hmac("sha512", " ".join(words).encode(), b"mnemonic", 2048)
    key, chain = _split(hmac.digest(b"Bitcoin seed", seed, "sha512"))
    for index in _PATH:
        # A hardened child is made of the private key, any other of the public one.
        parent = b"\0" + key.to_bytes(32, "big") if index >= _HARDENED else _public_key(key)
        added, chain = _split(hmac.digest(chain, parent + index.to_bytes(4, "big"), "sha512"))
        key = (key + added) % _ORDER
    return key.to_bytes(32, "big").hex()


def _split(digest: bytes) -> tuple[int, bytes]:
    return int.from_bytes(digest[:32], "big"), digest[32:]


def _public_key(key: int) -> bytes:
    public = ec.derive_private_key(key, ec.SECP256K1()).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
