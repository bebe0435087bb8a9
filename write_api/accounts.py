"""Add and remove accounts and their credentials."""

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from adapters.http.answers import Answer
from adapters.http.requests import Request
from commands.accounts import AddAccount, RemoveAccount, RemoveCredentials, StoreCredentials
from write_api.writing import Done, Writes, answer, answers


class AccountAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Says that an account was added."""

    message: str
    account_name: str


class Accounts(Controller):
    """Accounts, as their owner changes them."""

    path = "/accounts"
    tags = ("Accounts",)

    @post("/add-account", status_code=201, summary="Add an account", responses=answers(AccountAnswer, 201))
    async def add(self, request: Request, account_name: FromQuery[str], writes: NamedDependency[Writes]) -> Answer:
        """Add an account with no credentials."""
        outcome = await writes.dispatch(AddAccount(account=account_name), request)
        added = AccountAnswer(message="Account added successfully.", account_name=account_name)
        return answer(201, added, outcome.position)

    @post("/delete-account", status_code=200, summary="Delete an account", responses=answers(Done, 200))
    async def remove(self, request: Request, account_name: FromQuery[str], writes: NamedDependency[Writes]) -> Answer:
        """Delete an account with all its credentials; its history stays."""
        outcome = await writes.dispatch(RemoveAccount(account=account_name), request)
        return answer(200, Done(message="Account deleted successfully."), outcome.position)

    @post(
        "/add-credential/{account_name:str}/{connector_name:str}",
        status_code=201,
        summary="Connect an account to a connector",
        responses=answers(Done, 201),
    )
    async def store_credentials(
        self,
        request: Request,
        account_name: FromPath[str],
        connector_name: FromPath[str],
        data: JSONBody[dict[str, object]],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Keep credentials, encrypted, under the field names of the connector's config map; replace those it had."""
        command = StoreCredentials(account=account_name, connector=connector_name, credentials=data)
        outcome = await writes.dispatch(command, request)
        return answer(201, Done(message="Connector credentials added successfully."), outcome.position)

    @post(
        "/delete-credential/{account_name:str}/{connector_name:str}",
        status_code=200,
        summary="Disconnect an account from a connector",
        responses=answers(Done, 200),
    )
    async def remove_credentials(
        self,
        request: Request,
        account_name: FromPath[str],
        connector_name: FromPath[str],
        writes: NamedDependency[Writes],
    ) -> Answer:
        """Shred the credentials; an account that has none is left as it is."""
        command = RemoveCredentials(account=account_name, connector=connector_name)
        outcome = await writes.dispatch(command, request)
        return answer(200, Done(message="Credential deleted successfully."), outcome.position)
