"""Accounts and their credentials."""

import pytest

from domain import accounts
from domain.accounts import (
    NEW,
    Account,
    AccountAdded,
    AccountRemoved,
    CredentialsRemoved,
    CredentialsStored,
    evolve,
)
from domain.errors import Invalid, NotFound
from domain.events import Event
from tests.domain.given import Given

ADDED = AccountAdded(account="a")
STORED = CredentialsStored(account="a", connector="paper", fields=["key"])


def given(*events: Event) -> Given[Account]:
    return Given(NEW, evolve, events)


def test_an_account_is_added_once() -> None:
    given().when(lambda s: accounts.add(s, account="a")).then(ADDED)
    given(ADDED).when(lambda s: accounts.add(s, account="a")).then_refused(Invalid, "Account already exists")


def test_an_account_may_begin_with_connectors() -> None:
    given().when(lambda _: accounts.begin(account="a", connectors=["paper"])).then(
        ADDED, CredentialsStored(account="a", connector="paper", fields=[])
    )


@pytest.mark.parametrize("name", ["", "bad/name", "../x", "a b", "a" * 65, "a\x00", "ä", "%2e%2e"])
def test_a_name_that_is_not_safe_everywhere_is_refused(name: str) -> None:
    given().when(lambda s: accounts.add(s, account=name)).then_refused(Invalid, "Invalid account name")


def test_a_removed_account_takes_its_credentials_with_it() -> None:
    given(ADDED, STORED).when(lambda s: accounts.remove(s, account="a")).then(
        CredentialsRemoved(account="a", connector="paper"), AccountRemoved(account="a")
    )


def test_a_removed_name_is_free_again() -> None:
    given(ADDED, STORED, AccountRemoved(account="a")).when(lambda s: accounts.add(s, account="a")).then(ADDED)


def test_the_master_account_stays() -> None:
    given(ADDED).when(lambda s: accounts.remove(s, account="master_account")).then_refused(Invalid, "master account")


def test_an_unknown_account_cannot_be_removed() -> None:
    given().when(lambda s: accounts.remove(s, account="a")).then_refused(NotFound, "'a'")


def test_credentials_are_noted_by_the_names_of_their_fields() -> None:
    given(ADDED).when(
        lambda s: accounts.store_credentials(s, account="a", connector="x", fields=["secret", "key"])
    ).then(CredentialsStored(account="a", connector="x", fields=["key", "secret"]))


def test_an_unknown_account_takes_no_credentials() -> None:
    given().when(lambda s: accounts.store_credentials(s, account="a", connector="x", fields=[])).then_refused(Invalid)


def test_credentials_stored_again_keep_their_place() -> None:
    other = CredentialsStored(account="a", connector="x", fields=[])
    assert given(ADDED, STORED, other, STORED).state.connectors == ("paper", "x")


def test_credentials_are_removed_once() -> None:
    gone = CredentialsRemoved(account="a", connector="paper")
    given(ADDED, STORED).when(lambda s: accounts.remove_credentials(s, account="a", connector="paper")).then(gone)
    given(ADDED, STORED, gone).when(lambda s: accounts.remove_credentials(s, account="a", connector="paper")).then()


def test_events_of_other_areas_change_nothing() -> None:
    assert given(ADDED, Event()).state == given(ADDED).state


def test_a_stream_is_named_after_its_account() -> None:
    assert accounts.stream_of("a") == "account-a"
