"""Keep credentials and the server's signing key encrypted in Postgres.

Three keys stand in a row. scrypt makes the *password key* of CONFIG_PASSWORD; it encrypts one thing, the random
*data key*, so that the password can change without touching what is stored. The data key encrypts each account's
credentials and the Ed25519 *signing key* of the log's seals. Everything is AES-256-GCM with a random nonce in front;
the associated data names what the bytes are for, so that bytes moved to another row no longer decrypt.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from domain.errors import Invalid, Unavailable
from domain.values import Json

_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_CONNECT_SECONDS = 5

_credentials = msgspec.json.Decoder(Json)


class WrongPassword(Exception):
    """Refuse a password that does not open the vault."""

    def __init__(self) -> None:
        super().__init__(
            "CONFIG_PASSWORD does not open the vault of this database, which was made with another password."
            " Set CONFIG_PASSWORD to the password with which this database was first started."
        )


class DamagedVault(Invalid):
    """Say that something in the vault was altered or moved since it was stored."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one guess of the password costs: scrypt's parameters, 128 * `n` * `r` bytes of memory, `p` times over.

    The defaults are a pair that OWASP recommends (Password Storage Cheat Sheet, 2025): 32 MiB, three times.
    """

    n: int = 2**15
    r: int = 8
    p: int = 3


DEFAULT_COST = Cost()


class Vault:
    """Encrypted credentials, as `commands.ports.Vault`, and the signing key of the seals.

    A connection is made for each call: the vault is asked when accounts connect, not on the path of an order.
    """

    def __init__(self, database_url: str, data_key: bytes, signing_key: Ed25519PrivateKey) -> None:
        self._database_url = database_url
        self._data_key = data_key
        self.signing_key = signing_key

    @classmethod
    async def open(cls, database_url: str, password: str, *, cost: Cost = DEFAULT_COST) -> "Vault":
        """Open the vault of a database; the first time makes it, at that cost.

        Raises `WrongPassword`, `DamagedVault` or `Unavailable`. Takes a good part of a second, in a thread.
        """
        async with _connected(database_url) as connection:
            kept = await _keyring(connection)
            if kept is None:
                await _make(connection, password, cost)
                kept = await _keyring(connection)
        if kept is None:
            raise DamagedVault(
                "The vault's keyring is gone as soon as it is made: something deletes from vault.keyring"
            )
        salt, kept_cost, wrapped, signing, public = kept
        password_key = await _derive(password, salt, kept_cost)
        try:
            data_key = _decrypt(password_key, wrapped, _for_data_key(salt, kept_cost))
        except InvalidTag as e:
            raise WrongPassword from e
        try:
            signing_key = Ed25519PrivateKey.from_private_bytes(_decrypt(data_key, signing, _for_signing_key(public)))
        except InvalidTag as e:
            raise DamagedVault("The signing key in vault.keyring was altered: restore the row from a backup") from e
        return cls(database_url, data_key, signing_key)

    async def change_password(self, password: str, *, cost: Cost = DEFAULT_COST) -> None:
        """Have the vault opened by another password from now on. What is stored in it stays as it is."""
        salt = os.urandom(_SALT_BYTES)
        wrapped = _encrypt(await _derive(password, salt, cost), self._data_key, _for_data_key(salt, cost))
        async with _connected(self._database_url) as connection:
            await connection.execute(
                "update vault.keyring set salt = %s, cost_n = %s, cost_r = %s, cost_p = %s, data_key = %s",
                (salt, cost.n, cost.r, cost.p, wrapped),
            )

    async def store(self, account: str, connector: str, credentials: Mapping[str, object]) -> None:
        """Keep the credentials of an account for a connector, in place of those it had."""
        plain = msgspec.json.encode(dict(credentials))
        encrypted = _encrypt(self._data_key, plain, _for_credentials(account, connector))
        async with _connected(self._database_url) as connection:
            await connection.execute(
                """
                insert into vault.credentials (account, connector, encrypted) values (%s, %s, %s)
                on conflict (account, connector)
                do update set encrypted = excluded.encrypted, stored_at = clock_timestamp()
                """,
                (account, connector, encrypted),
            )

    async def read(self, account: str, connector: str) -> dict[str, object] | None:
        """Return the credentials, None if there are none. Raises `DamagedVault` when the row was altered or moved."""
        async with _connected(self._database_url) as connection:
            cursor = await connection.execute(
                "select encrypted from vault.credentials where account = %s and connector = %s", (account, connector)
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        try:
            plain = _decrypt(self._data_key, row[0], _for_credentials(account, connector))
        except InvalidTag as e:
            raise DamagedVault(
                f"The credentials of account '{account}' for '{connector}' were altered or moved in vault.credentials:"
                " add them again"
            ) from e
        return _credentials.decode(plain)

    async def shred(self, account: str, connector: str | None = None, *, stored_before: datetime | None = None) -> None:
        """Delete the credentials for a connector, or all of the account; what is not there is no error.

        With `stored_before`, those that were stored later stay.
        """
        async with _connected(self._database_url) as connection:
            await connection.execute(
                "delete from vault.credentials where account = %s and connector = coalesce(%s, connector)"
                " and stored_at < coalesce(%s::timestamptz, 'infinity')",
                (account, connector, stored_before),
            )


_Keyring = tuple[bytes, Cost, bytes, bytes, bytes]  # salt, cost, wrapped data key, signing key, public key


async def _keyring(connection: psycopg.AsyncConnection) -> _Keyring | None:
    cursor = await connection.execute(
        "select salt, cost_n, cost_r, cost_p, data_key, signing_key, public_key from vault.keyring"
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    salt, n, r, p, wrapped, signing, public = row
    return salt, Cost(n=n, r=r, p=p), wrapped, signing, public


async def _make(connection: psycopg.AsyncConnection, password: str, cost: Cost) -> None:
    # Several servers may start on a new database at once: the first row stands, and all of them read that one.
    salt, data_key, signing_key = os.urandom(_SALT_BYTES), os.urandom(_KEY_BYTES), Ed25519PrivateKey.generate()
    public = signing_key.public_key().public_bytes_raw()
    wrapped = _encrypt(await _derive(password, salt, cost), data_key, _for_data_key(salt, cost))
    signing = _encrypt(data_key, signing_key.private_bytes_raw(), _for_signing_key(public))
    await connection.execute(
        """
        insert into vault.keyring (salt, cost_n, cost_r, cost_p, data_key, signing_key, public_key)
        values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing
        """,
        (salt, cost.n, cost.r, cost.p, wrapped, signing, public),
    )


@asynccontextmanager
async def _connected(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    try:
        connection = await psycopg.AsyncConnection.connect(
            database_url, autocommit=True, connect_timeout=_CONNECT_SECONDS
        )
        async with connection:
            yield connection
    except psycopg.OperationalError as e:
        raise Unavailable("The vault cannot be reached: its database does not answer") from e
    except psycopg.errors.UndefinedTable as e:
        raise Unavailable("The database holds no vault yet: run nectar migrate, or start the server on it once") from e


async def _derive(password: str, salt: bytes, cost: Cost) -> bytes:
    kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=cost.n, r=cost.r, p=cost.p)
    return await asyncio.to_thread(kdf.derive, password.encode())


def _encrypt(key: bytes, plain: bytes, purpose: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, purpose)


def _decrypt(key: bytes, encrypted: bytes, purpose: bytes) -> bytes:
    return AESGCM(key).decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], purpose)


# A JSON array of strings and numbers cannot be read in two ways, as a mere concatenation could.


def _for_data_key(salt: bytes, cost: Cost) -> bytes:
    return msgspec.json.encode(["data key", salt, cost.n, cost.r, cost.p])


def _for_signing_key(public: bytes) -> bytes:
    return msgspec.json.encode(["signing key", public])


def _for_credentials(account: str, connector: str) -> bytes:
    return msgspec.json.encode(["credentials", account, connector])
