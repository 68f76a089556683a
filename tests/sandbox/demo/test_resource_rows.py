"""Rows of the demo from the status of resources."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.demo.resource_rows import ConnectorRow, OrganizationRow, describe, reauthorization_reason


def connector(*conditions: tuple[str, str, str], **status: object) -> dict[str, Any]:
    status_conditions = [
        {"type": type_, "status": value, "reason": reason, "message": "words"} for type_, value, reason in conditions
    ]
    return {
        "metadata": {"namespace": "security", "name": "contoso", "generation": 1},
        "status": {"observedGeneration": 1, "conditions": status_conditions, **status},
    }


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        (
            {"metadata": {"namespace": "security", "name": "contoso"}, "status": {"observedGeneration": -1}},
            "ready -, authorized -, organizations -, projects -, repositories -, discovered -, findings - (new)",
        ),
        (
            connector(
                ("Ready", "True", "X"),
                ("Authorized", "True", "Authorized"),
                ("Discovered", "False", "Discovering"),
                discovery={
                    "organizations": {"available": 6, "onboarded": 2},
                    "projects": {"discovered": 3},
                    "repositories": {"discovered": 0, "expected": 9},
                    "percent": 5,
                },
                posture={"findings": "2C 14H"},
            ),
            (
                "ready yes, authorized yes, organizations 2 of 6, projects 3, repositories 0 of 9, discovered no 5 %, "
                "findings 2C 14H (X)"
            ),
        ),
        (
            connector(("Ready", "Unknown", "AzureUnavailable"), discovery={"projects": {"discovered": 3}}),
            (
                "ready ?, authorized -, organizations -, projects 3, repositories -, discovered -, "
                "findings - (AzureUnavailable)"
            ),
        ),
        (
            connector(("Ready", "False", "AuthorizationLost"), ("ReauthRequired", "True", "SignInRequired")),
            (
                "ready no, authorized -, organizations -, projects -, repositories -, discovered -, "
                "findings - (SignInRequired)"
            ),
        ),
    ],
    ids=["fresh", "discovering", "without expected counts", "a person is needed"],
)
def test_a_connector_is_shown_in_one_line(manifest: dict[str, Any], line: str) -> None:
    assert ConnectorRow.of(manifest).line() == f"security/contoso: {line}"


def test_no_reason_is_shown_while_reauthorization_is_not_required() -> None:
    assert reauthorization_reason(connector(("ReauthRequired", "False", "NotRequired"))) is None


def test_an_organization_shows_its_state_and_counts() -> None:
    manifest = {
        "metadata": {"namespace": "security", "name": "contoso-fabrikam"},
        "spec": {"organization": "fabrikam"},
        "status": {"onboardingState": "Onboarded", "repositories": {"discovered": 16, "expected": 16}},
    }
    row = OrganizationRow.of(manifest)
    assert (row.organization, row.state, row.repositories, row.projects) == ("fabrikam", "Onboarded", "16 of 16", "")


def test_a_failure_is_described_by_all_conditions() -> None:
    manifest = connector(("Ready", "False", "Forbidden"), ("Authorized", "Unknown", "Provisioning"))
    assert describe(manifest).splitlines() == [
        "security/contoso",
        "  Ready=False (Forbidden): words",
        "  Authorized=Unknown (Provisioning): words",
    ]
