"""Which accounts there are, and what they are connected to."""

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from adapters.http.answers import Answer
from adapters.http.bodies import encode
from adapters.http.requests import Request
from domain.errors import NotFound
from projections import accounts
from read_api.pages import described
from read_api.settle import Reads


class Accounts(Controller):
    """Accounts, as they are."""

    path = "/accounts"
    tags = ("Accounts",)

    @get("/", status_code=200, summary="List the accounts", responses=described(list[str], "Names of accounts"))
    async def all(self, request: Request, reads: NamedDependency[Reads]) -> Answer:
        """Answer the names, oldest account first."""
        headers = await reads.settle(request, "accounts")
        async with reads.connection(request) as connection:
            found = await accounts.connectors(connection)
        return Answer(200, encode(list(found)), headers)

    @get(
        "/{account_name:str}/credentials",
        status_code=200,
        summary="List the connectors of an account",
        responses=described(list[str], "Names of connectors"),
    )
    async def credentials(self, request: Request, account_name: FromPath[str], reads: NamedDependency[Reads]) -> Answer:
        """Answer the connectors that the account has credentials for, in the order in which they came."""
        headers = await reads.settle(request, "accounts")
        async with reads.connection(request) as connection:
            found = await accounts.connectors(connection, [account_name])
        if account_name not in found:
            raise NotFound(f"Account '{account_name}' not found")
        return Answer(200, encode(found[account_name]), headers)
