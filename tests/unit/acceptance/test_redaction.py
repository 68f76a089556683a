"""Redaction: no secret, name or id of a tenant is in a recording, and what is public stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acceptance.command import PUBLIC_ADDRESSES
from acceptance.recording.redaction import Redactor
from acceptance.recording.writing import redact_exchange, write_recording
from acceptance.session.answer import Exchange
from sandbox.cloud.replay.fixtures import read_recording
from tests.support.leak_search import find_leaks
from tests.support.tenant_in_memory import ADDRESSES, Result, TenantInMemory, world_document

CANARIES = {
    "tenant": ["0a1b2c3d-aaaa-4bbb-8ccc-1234567890ab"],
    "subscription": ["7e57ab1e-0001-4000-8000-abcdefabcdef"],
    "group": ["Zanzibar-Group"],
    "connectors": ["Quokka-Main", "quokka-trial"],
    "organizations": ["Numbat-Retail", "numbat-one", "numbat-two"],
    "projects": ["Wombat Shop"],
    "repositories": ["kookaburra-front", "Bilby Drafts"],
    "people": ["Peregrine Falconer", "peregrine.falconer", "falconer"],
    "domain": ["platypus-corp"],
    "tags": ["echidna-4711", "cassowaryCenter"],
    "application": ["dingo-kit"],
    "pipeline": ["Tasmanian scan"],
    "step": ["Deploy taipan"],
}
"""Made-up words that stand in place of a tenant's own, by kind."""

PLANTED = {
    "11111111-1111-1111-1111-111111111111": CANARIES["tenant"][0],
    "22222222-2222-2222-2222-222222222222": CANARIES["subscription"][0],
    "Rg-DevOps-Security": "Zanzibar-Group",
    "Contoso-Main": "Quokka-Main",
    '"trial"': '"quokka-trial"',
    "Contoso-Retail": "Numbat-Retail",
    "trial-one": "numbat-one",
    "trial-two": "numbat-two",
    "Web Shop": "Wombat Shop",
    "storefront scan": "Tasmanian scan",
    "storefront": "kookaburra-front",
    "drafts": "Bilby Drafts",
    "Alex Wilber": "Peregrine Falconer",
    "Defender for DevOps connector": "Peregrine Falconer",
    "mdc-devops-connector": "peregrine.falconer",
    "contoso.com": "platypus-corp.example",
    "retail-4711": "echidna-4711",
    "costCenter": "cassowaryCenter",
    "displayName: Microsoft Security DevOps": "displayName: Deploy taipan",
}


def planted_world() -> dict[str, Any]:
    """Return the kit's world with the canaries in place of its names."""
    text = json.dumps(world_document())
    for name, canary in PLANTED.items():
        text = text.replace(name, canary)
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.fixture
async def result() -> tuple[TenantInMemory, Result]:
    """A run in the planted world, with writes."""
    tenant = TenantInMemory(document=planted_world())
    domain = "platypus-corp.example"
    tenant.direct.move(27 * 3600, wall=27 * 3600)
    await tenant.direct.control("PATCH", f"/accounts/leaver@{domain}", blocked=True)
    tenant.direct.move(30 * 3600, wall=30 * 3600)
    changes = {
        "tenant": CANARIES["tenant"][0],
        "subscription": CANARIES["subscription"][0],
        "resourceGroup": "Zanzibar-Group",
        "connector": "Quokka-Main",
        "organization": "Numbat-Retail",
        "expendableConnector": "quokka-trial",
    }
    return tenant, await tenant.run(write=True, **changes)


async def test_no_canary_is_in_the_recording_the_table_or_the_page(
    result: tuple[TenantInMemory, Result], tmp_path: Path
) -> None:
    tenant, run = result
    file = tenant.file(resourceGroup="Zanzibar-Group")
    assert len(run.session.exchanges) > 100
    report = run.report
    write_recording(tmp_path, file, report.exchanges, report.redactor, PUBLIC_ADDRESSES)
    texts = {path.name: path.name + path.read_text() for path in tmp_path.iterdir()}
    texts |= {"table": json.dumps(report.document()), "page": report.markdown()}
    secrets = {**CANARIES, "tokens": set(tenant.tokens.issued)}
    raw = "\n".join(str(exchange) for exchange in report.exchanges)
    unseen = {kind for kind, values in CANARIES.items() if not any(value.lower() in raw.lower() for value in values)}
    assert unseen <= {"application", "domain"}, "a canary that is nowhere proves nothing"
    for name, text in texts.items():
        assert find_leaks(text, secrets) == [], name
        assert find_leaks(text.lower(), {kind: map(str.lower, values) for kind, values in CANARIES.items()}) == [], name


async def test_what_is_public_stays(tenant: TenantInMemory, tmp_path: Path) -> None:
    run = await tenant.run()
    write_recording(tmp_path, tenant.file(), run.report.exchanges, run.report.redactor, PUBLIC_ADDRESSES)
    text = "\n".join(path.read_text() for path in tmp_path.iterdir())
    for word in (
        '"provisioningState": "Succeeded"',
        '"onboardingState": "Onboarded"',
        '"offeringType": "CspmMonitorAzureDevOps"',
        '"environmentName": "AzureDevOps"',
        "AzureDevOps token exchange failed: InvalidOAuthCode, POST https://app.vssps.visualstudio.com/oauth2/token",
        "Project Collection Administrators",
        '"recommendationCategory": "SoftwareUpdate"',
        "microsoft.security/assessments",
        "MicrosoftSecurityDevOps@1",
        "/providers/Microsoft.Security/securityConnectors/",
        "39bc4728-0917-49c7-9d2c-d95423bc2eb4",
    ):
        assert word in text
    assert "redacted" in text, "the signature of an operation's address"


def exchange(content: object) -> Exchange:
    """Return an exchange with a JSON answer."""
    values: dict[str, Any] = {
        "service": "arm",
        "method": "GET",
        "path": "/subscriptions/7e57ab1e-0001-4000-8000-abcdefabcdef/resourceGroups/Zanzibar/providers/X",
        "query": (),
        "accept": "application/json",
        "body": None,
        "token": "identity",
        "suppresses_redirect": False,
        "status": 200,
        "headers": {},
        "content": json.dumps(content).encode(),
    }
    return Exchange(**values)


def redacted(answer: object, **changes: object) -> str:
    """Return an exchange's document as text."""
    one = replace(exchange(answer), **changes)
    redactor = Redactor({address: PUBLIC_ADDRESSES[service] for service, address in ADDRESSES.items()})
    redactor.collect([one])
    return json.dumps(redact_exchange(redactor, one), ensure_ascii=False)


@pytest.mark.parametrize(
    "value",
    [
        {"unheardOf": "Quokka"},
        {"unheardOf": {"Quokka": 1}},
        {"tags": {"quokka": "x"}},
        {"message": "The account quokka@example.com of Quokka Inc. is blocked"},
        {"message": "see https://quokka.example/quokka?quokka=quokka#quokka"},
        {"message": "/subscriptions/7e57ab1e-0001-4000-8000-abcdefabcdef/resourceGroups/quokka/x/quokka"},
        {"id": "/subscriptions/1/resourcegroups/QUOKKA/providers/a/b/Quokka/devops/default/azureDevOpsOrgs/quokka"},
        {"token": "eyJhbGciOi.eyJxdW9ra2E.quokka-quokka-quokka-quokka"},
        {"value": ["Quokka's", "quokka_1", "QUOKKA2", "x-quokka-y", "Quokka%20Shop", "quokka+shop"]},
        {"state": "quokka quokka"},
        {"yaml": "variables:\n  owner: quokka\n"},
    ],
)
def test_a_word_that_is_not_known_to_be_public_is_replaced(value: object) -> None:
    assert "quokka" not in redacted(value).lower()


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"set-cookie": "session=quokka"}, "quokka"),
        ({"x-ms-correlation-request-id": "7e57ab1e-0002-4000-8000-abcdefabcdef"}, "7e57ab1e-0002"),
        (
            {"azure-asyncoperation": "https://arm.test/subscriptions/1/x?api-version=2025-03-01&s=c2lnbmF0dXJl&t=1"},
            "c2ln",
        ),
        ({"x-ms-continuationtoken": "quokka"}, "quokka"),
        ({"www-authenticate": "Bearer authorization_uri=https://login.quokka.example/quokka"}, "quokka"),
        ({"location": "https://quokka.example/"}, "quokka"),
    ],
)
def test_headers_have_no_secret(headers: dict[str, str], secret: str) -> None:
    assert secret not in redacted({}, headers=headers).lower()


def test_a_page_and_a_text_are_redacted() -> None:
    assert "quokka" not in redacted(None, content=b"<html>Sign in as quokka</html>")
    assert "quokka" not in redacted(None, content=b"##[section]Starting: quokka\n")


def test_a_pseudonym_is_the_same_everywhere_and_keeps_the_spelling() -> None:
    name, identifier = (
        "Quokka Shop",
        "/subscriptions/1/resourceGroups/g/providers/M/securityConnectors/c/devops/default",
    )
    organization = f"{identifier}/azureDevOpsOrgs/o"
    document = json.loads(
        redacted(
            {
                "id": f"{organization}/projects/{name}",
                "lower": f"{organization}/projects/{name}".lower(),
                "encoded": f"{organization}/projects/Quokka%20Shop",
                "parentProjectName": name,
                "message": f"The project '{name}' was not found.",
            }
        )
    )["json"]
    assert document["id"].endswith("/projects/Project 1")
    assert document["lower"].endswith("/projects/project 1")
    assert document["encoded"].endswith("/projects/Project%201")
    assert document["parentProjectName"] == "Project 1"
    assert document["message"] == "The project 'Project 1' was not found."


def test_numbers_are_replaced_except_in_pseudonyms_and_error_numbers() -> None:
    identifier = "/subscriptions/1/resourceGroups/g/providers/M/securityConnectors/c/devops/default/azureDevOpsOrgs/o"
    names = [f"quokka{number}" for number in range(1, 1002)]
    text = redacted(
        {"value": [f"{identifier}/projects/{name}" for name in names], "message": "quokka1001 4711 TF400813"}
    )
    assert '"message": "project-1001 0000 TF400813"' in text
    assert "quokka" not in text


async def test_a_recording_can_be_read_again(tenant: TenantInMemory, tmp_path: Path) -> None:
    run = await tenant.run()
    write_recording(tmp_path, tenant.file(), run.report.exchanges, run.report.redactor, PUBLIC_ADDRESSES)
    recording = read_recording(tmp_path)
    assert len(recording.fixtures) == len(run.session.exchanges)
    assert [fixture.status for fixture in recording.fixtures] == [one.status for one in run.session.exchanges]
    assert recording.summary.connector == "Connector-1"
