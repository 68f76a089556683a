"""MSAL signs a person in: code with PKCE, device code, refresh, on the HTML pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msal
import pytest
import requests

from tests.sandbox.cloud.direct import ACCOUNT, REDIRECT, SIGN_IN_APP_ID, TENANT
from tests.sandbox.cloud.remote import Person, Remote, returned

SCOPES = ["499b84ac-1321-427f-aa17-267ca6975798/.default"]
SECRET = "sandbox-sign-in-secret"


@pytest.fixture
def person(remote: Remote) -> Iterator[Person]:
    person = Person(remote)
    yield person
    person.close()


@pytest.fixture
def options(remote: Remote) -> Iterator[dict[str, Any]]:
    with requests.Session() as session:
        session.trust_env = False  # otherwise a CA bundle of the environment would be used instead
        session.verify = str(remote.ca)
        yield {
            "authority": f"{remote.authority}/{TENANT}",
            "instance_discovery": False,
            "http_client": session,
        }


@pytest.fixture
def confidential(options: dict[str, Any]) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(SIGN_IN_APP_ID, client_credential=SECRET, **options)


def flow_of(app: msal.ClientApplication, **changes: str) -> dict[str, Any]:
    with pytest.warns(UserWarning, match="form_post"):  # MSAL warns about responses in the query
        flow: dict[str, Any] = app.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT, **changes)
    return flow


def test_a_person_signs_in_with_code_and_pkce_and_the_id_token_says_who(
    confidential: msal.ConfidentialClientApplication, person: Person
) -> None:
    flow = flow_of(confidential)
    assert "code_challenge_method=S256" in flow["auth_uri"]
    answer = person.sign_in_and_accept(flow["auth_uri"])
    tokens = confidential.acquire_token_by_auth_code_flow(flow, answer)
    assert tokens["id_token_claims"]["preferred_username"] == ACCOUNT
    assert tokens["id_token_claims"]["tid"] == TENANT
    assert tokens["refresh_token"]
    again = confidential.acquire_token_by_auth_code_flow(flow, answer)
    assert again["error"] == "invalid_grant"
    assert 54005 in again["error_codes"]


def test_consent_is_asked_for_once_and_the_browser_remembers_the_account(
    confidential: msal.ConfidentialClientApplication, person: Person
) -> None:
    person.sign_in_and_accept(flow_of(confidential)["auth_uri"])
    page = person.open(flow_of(confidential)["auth_uri"])
    assert "Pick an account" in page.text
    answer = returned(person.submit(page, account="44444444-4444-4444-4444-444444444444"))
    assert "code" in answer
    hinted = person.open(flow_of(confidential, login_hint=ACCOUNT)["auth_uri"])
    assert "code" in returned(hinted)


def test_declining_returns_access_denied(confidential: msal.ConfidentialClientApplication, person: Person) -> None:
    page = person.sign_in(person.open(flow_of(confidential)["auth_uri"]))
    answer = returned(person.submit(page, decision="cancel"))
    assert answer["error"] == "access_denied"
    assert "AADSTS65004" in answer["error_description"]


def test_a_refresh_token_is_replaced_at_each_use_and_the_old_one_still_works_for_now(
    confidential: msal.ConfidentialClientApplication, person: Person
) -> None:
    flow = flow_of(confidential)
    first = confidential.acquire_token_by_auth_code_flow(flow, person.sign_in_and_accept(flow["auth_uri"]))
    second = confidential.acquire_token_by_refresh_token(first["refresh_token"], SCOPES)
    assert second["refresh_token"] != first["refresh_token"]
    assert confidential.acquire_token_by_refresh_token(first["refresh_token"], SCOPES)["access_token"]
    assert confidential.acquire_token_by_refresh_token(second["refresh_token"], SCOPES)["access_token"]


def test_revoked_sessions_invalidate_a_refresh_token_and_a_new_password_does_not(
    confidential: msal.ConfidentialClientApplication, person: Person, remote: Remote
) -> None:
    flow = flow_of(confidential)
    tokens = confidential.acquire_token_by_auth_code_flow(flow, person.sign_in_and_accept(flow["auth_uri"]))
    remote.control.change_account(ACCOUNT, password="another")
    assert "access_token" in confidential.acquire_token_by_refresh_token(tokens["refresh_token"], SCOPES)
    remote.control.change_account(ACCOUNT, revokeSessions=True)
    refused = confidential.acquire_token_by_refresh_token(tokens["refresh_token"], SCOPES)
    assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50173])


def test_a_device_shows_a_code_that_a_person_types_in(options: dict[str, Any], person: Person) -> None:
    app = msal.PublicClientApplication(SIGN_IN_APP_ID, **options)
    flow = app.initiate_device_flow(SCOPES)
    waiting = app.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert waiting["error"] == "authorization_pending"
    page = person.submit(person.open(flow["verification_uri"]), otc=flow["user_code"])
    page_text = person.accept(person.sign_in(page))
    assert "You have signed in" in page_text.text
    flow["latest_attempt_at"] = 0.0  # MSAL measures the interval with its own clock, and would fail
    tokens = app.acquire_token_by_device_flow(flow)
    assert tokens["id_token_claims"]["preferred_username"] == ACCOUNT


def test_application_and_silent_tokens_come_from_the_cache(
    confidential: msal.ConfidentialClientApplication, person: Person, remote: Remote
) -> None:
    flow = flow_of(confidential)
    confidential.acquire_token_by_auth_code_flow(flow, person.sign_in_and_accept(flow["auth_uri"]))
    (account,) = confidential.get_accounts()
    last_entry = remote.control.last()
    silent = confidential.acquire_token_silent_with_error(SCOPES, account)
    assert silent["token_source"] == "cache"
    assert remote.control.last() == last_entry
    application_token = confidential.acquire_token_for_client(["https://management.azure.com/.default"])
    assert application_token["access_token"]
