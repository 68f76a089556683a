from __future__ import annotations

import json

from defender_devops.cli.support.redaction import HIDDEN, redact_for_bundle

SIGNED = "https://signin.example/signin/connectors/uid/SIGNATURE"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


def test_fields_that_repeat_the_applied_manifest_are_removed() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "blue"}
    body = {"metadata": {"name": "c", "managedFields": [{}], "annotations": annotations}}
    assert redact_for_bundle(body) == {"metadata": {"name": "c", "annotations": {"team": "blue"}}}


def test_a_signed_address_is_hidden_in_its_field_and_in_messages() -> None:
    body = {
        "signIn": {"url": SIGNED},
        "conditions": [{"message": f"Paste it at {SIGNED}. The code expires after a few minutes."}],
    }
    assert "SIGNATURE" not in json.dumps(redact_for_bundle(body))
    assert redact_for_bundle(body)["signIn"]["url"] == HIDDEN


def test_tokens_are_hidden_everywhere() -> None:
    assert TOKEN not in json.dumps(redact_for_bundle({"spec": [{"note": f"it said {TOKEN}"}]}))


def test_accounts_keep_their_first_letter_and_their_domain() -> None:
    assert redact_for_bundle("Sign in as mdc-devops-connector@contoso.com.") == "Sign in as m…@contoso.com."


def test_names_of_secrets_numbers_and_ids_are_kept() -> None:
    body = {"secretRef": {"name": "sign-in-app", "key": "client-secret"}, "generation": 3, "ready": True, "x": None}
    assert redact_for_bundle(body) == body
