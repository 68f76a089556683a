"""What a sign-in contributes to a snapshot: new results, earlier ones, or results that are no longer proven."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import structlog

from defender_devops.api.azure_types import Counts
from defender_devops.api.organization import DevOpsOrganization, Prerequisite
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.observe.sign_in import SignInFindings, SignInObserver
from defender_devops.reconcile.report.report import report
from defender_devops.signin.sessions.state import SignInState
from tests.unit.reconcile.builder import NOW, resource, snapshot
from tests.unit.reconcile.condition_cases import SIGN_IN

if TYPE_CHECKING:
    from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
    from defender_devops.signin.sessions.sign_ins import SignIns

CONNECTOR = snapshot(SIGN_IN).connector
NAMES = {"contoso": "Contoso", "fabrikam": "fabrikam"}
WORKS = SignInState(signed_in=True, reason="SignedIn", account="mdc@contoso.com")
SILENT = SignInState(signed_in=None, reason="TokenServiceUnavailable", cause="Wait.", worked_before=True)
LOST = SignInState(signed_in=False, reason="SignInRequired", cause="Sign in.", worked_before=True)


def check(status: str, reason: str | None = None, name: str = "ProjectCollectionAdministrator") -> Prerequisite:
    return Prerequisite.model_validate({"check": name, "status": status, "reason": reason, "message": "Do this."})


MET, UNMET = check("True"), check("False", "NotAMember")
UNANSWERED = check("Unknown", "AzureDevOpsUnavailable")


@dataclass
class FakeSignIn:
    """A sign-in and an Azure DevOps with scripted answers.

    Attributes:
        checks: answers of Azure DevOps; an organization that is missing must not be checked.
        counts: counts of Azure DevOps; None if it does not answer.
    """

    state: SignInState
    checks: dict[str, tuple[Prerequisite, ...]] = field(default_factory=dict)
    counts: dict[str, Counts | None] = field(default_factory=dict)

    forgotten: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)

    async def observe(self, *resources: DevOpsOrganization, refresh: bool = False) -> SignInFindings:
        async def state(_: object) -> SignInState:
            return self.state

        async def check(_: object, name: str) -> tuple[Prerequisite, ...]:
            return self.checks[name.lower()]

        async def expected_counts(_: object, name: str) -> Counts | None:
            return self.counts.get(name.lower())

        observer = SignInObserver(
            cast(
                "SignIns",
                SimpleNamespace(
                    state=state, request_check=lambda connector: self.refreshed.append(connector.metadata.uid)
                ),
            ),
            cast(
                "AzureDevOpsReader",
                SimpleNamespace(check=check, expected_counts=expected_counts, invalidate=self.forgotten.append),
            ),
        )
        return await observer.observe(CONNECTOR, NAMES, resources, refresh=refresh)


def reported(organization: str, *checks: Prerequisite, expected: tuple[int, int] | None = None) -> DevOpsOrganization:
    """A resource with the latest results in its status."""
    projects, repositories = expected or (None, None)
    status = {
        "prerequisites": [check.dump() for check in checks],
        "projects": {"discovered": 1, "expected": projects},
        "repositories": {"discovered": 1, "expected": repositories},
    }
    return resource(organization, {"status": status, "name": organization.lower()})


async def test_new_results_replace_those_of_the_statuses() -> None:
    fake = FakeSignIn(
        WORKS, {"contoso": (UNMET,), "fabrikam": (MET,)}, {"contoso": Counts(2, 3), "fabrikam": Counts(0, 0)}
    )
    findings = await fake.observe(reported("contoso", MET, expected=(7, 7)), reported("fabrikam", UNMET))
    assert findings.prerequisites == {"contoso": (UNMET,), "fabrikam": (MET,)}
    assert findings.expected == {"contoso": Counts(2, 3), "fabrikam": Counts(0, 0)}


async def test_a_requested_reconcile_ignores_cached_results() -> None:
    fake = FakeSignIn(WORKS, {"contoso": (MET,), "fabrikam": (MET,)})
    await fake.observe()
    assert fake.forgotten + fake.refreshed == []
    await fake.observe(refresh=True)
    assert fake.forgotten == fake.refreshed == [CONNECTOR.metadata.uid]


async def test_while_entra_does_not_answer_the_statuses_count_after_a_restart_too() -> None:
    findings = await FakeSignIn(SILENT).observe(
        reported("Contoso", MET, expected=(2, 3)), reported("tailspin", UNMET, expected=(1, 1))
    )
    assert findings.prerequisites == {"contoso": (MET,)}
    assert findings.expected == {"contoso": Counts(2, 3)}
    assert findings.sign_in is not None
    assert (findings.sign_in.signed_in, findings.sign_in.is_lost) == (None, False)


async def test_a_lost_sign_in_proves_nothing_but_unmet_checks_stay_unmet() -> None:
    findings = await FakeSignIn(LOST).observe(
        reported("contoso", MET, expected=(2, 3)), reported("fabrikam", UNMET, expected=(1, 1))
    )
    (unproven,) = findings.prerequisites["contoso"]
    assert (unproven.status, unproven.reason) == ("Unknown", "SignInRequired")
    assert "the operator's own sign-in has stopped" in str(unproven.message).lower()
    assert findings.prerequisites["fabrikam"] == (UNMET,)
    assert findings.expected == {}, "without a sign-in nothing is expected"
    assert findings.sign_in is not None
    assert findings.sign_in.is_lost


async def test_before_the_first_sign_in_there_are_no_results() -> None:
    findings = await FakeSignIn(SignInState(signed_in=False, reason="SignInRequired")).observe(
        resource("contoso", {"name": "c"})
    )
    assert (findings.prerequisites, findings.expected) == ({}, {})
    assert findings.sign_in is not None
    assert not findings.sign_in.is_lost


@pytest.mark.parametrize(
    ("previous", "result", "expected"),
    [
        (MET, UNANSWERED, UNANSWERED),
        (UNMET, UNANSWERED, UNMET),
        (UNMET, check("Unknown", "TokenServiceUnavailable"), UNMET),
        (UNMET, check("Unknown", "AzureDevOpsDenied"), check("Unknown", "AzureDevOpsDenied")),
        (UNMET, MET, MET),
        (check("False", "OAuthDisabled", "ThirdPartyOAuthEnabled"), UNANSWERED, UNANSWERED),
    ],
)
async def test_an_unmet_check_stays_unmet_while_azure_devops_does_not_answer(
    previous: Prerequisite, result: Prerequisite, expected: Prerequisite
) -> None:
    fake = FakeSignIn(WORKS, {"contoso": (result,), "fabrikam": ()})
    assert (await fake.observe(reported("contoso", previous))).prerequisites["contoso"] == (expected,)


async def test_counts_without_an_answer_are_those_of_the_status() -> None:
    fake = FakeSignIn(WORKS, {"contoso": (MET,), "fabrikam": (MET,)}, {"contoso": None, "fabrikam": Counts(5, 5)})
    findings = await fake.observe(reported("contoso", expected=(2, 3)), reported("fabrikam", expected=(1, 1)))
    assert findings.expected == {"contoso": Counts(2, 3), "fabrikam": Counts(5, 5)}


@pytest.mark.parametrize("state", [WORKS, SILENT, LOST])
async def test_an_account_that_lost_its_rights_stays_lost_until_a_check_passes(state: SignInState) -> None:
    resources = (reported("contoso", UNMET), reported("fabrikam", UNMET))
    findings = await FakeSignIn(state, {"contoso": (UNANSWERED,), "fabrikam": (UNANSWERED,)}).observe(*resources)
    assert findings.sign_in is not None
    assert "Project Collection Administrator in none" in str(findings.sign_in.authorizing_account_lost)
    recovered = await FakeSignIn(WORKS, {"contoso": (UNANSWERED,), "fabrikam": (MET,)}).observe(*resources)
    assert recovered.sign_in is not None
    assert recovered.sign_in.authorizing_account_lost is None


def test_an_outage_of_entra_changes_nothing_in_a_status_but_the_sign_in() -> None:
    counts = "{expected: {contoso: [2, 3], fabrikam: [1, 1]}, counts: {contoso: [2, 3], fabrikam: [1, 0]}}"
    checks = "prerequisites: {contoso: [{check: AccessLevel, status: 'True'}]}"
    works = "signIn: {signed_in: true, reason: SignedIn, account: mdc@contoso.com}"
    silent = "signIn: {signed_in: null, reason: TokenServiceUnavailable, message: Wait., account: mdc@contoso.com}"
    usual, during = (
        report(Assessment(snapshot(SIGN_IN, counts, checks, sign_in)), None, NOW) for sign_in in (works, silent)
    )
    signed_in = [condition for condition in during.status.conditions if condition not in usual.status.conditions]
    assert [(condition.type, condition.reason) for condition in signed_in] == [
        ("SignedIn", Reason.TOKEN_SERVICE_UNAVAILABLE)
    ]
    assert (usual.status.discovery, usual.status.sign_in) == (during.status.discovery, during.status.sign_in)
    assert [status for _, status in usual.organizations] == [status for _, status in during.organizations]


@pytest.mark.parametrize("function", ["check", "expected_counts"])
async def test_an_unexpected_exception_of_one_organization_leaves_the_checks_of_others_alone(function: str) -> None:
    failures: list[str] = []

    async def answer(_: object, name: str, result: object, *, fails: bool) -> object:
        if fails and name.lower() == "contoso":
            raise ZeroDivisionError("s3cret")
        return result

    async def state(_: object) -> SignInState:
        return WORKS

    def check(of: object, name: str) -> object:
        return answer(of, name, (MET,), fails=function == "check")

    def expected_counts(of: object, name: str) -> object:
        return answer(of, name, Counts(1, 2), fails=function == "expected_counts")

    observer = SignInObserver(
        cast("SignIns", SimpleNamespace(state=state)),
        cast("AzureDevOpsReader", SimpleNamespace(check=check, expected_counts=expected_counts)),
        failures.append,
    )
    with structlog.testing.capture_logs() as lines:
        findings = await observer.observe(CONNECTOR, NAMES)
    assert failures == ["prerequisites"]
    assert [(line["organization"].lower(), line["exc_info"]) for line in lines] == [("contoso", True)]
    assert findings.prerequisites["fabrikam"] == (MET,)
    assert findings.expected["fabrikam"] == Counts(1, 2)
    if function == "check":
        checks = findings.prerequisites["contoso"]
        assert {(check.status, check.reason) for check in checks} == {("Unknown", "CheckUnavailable")}
        assert "s3cret" not in str(checks)
    else:
        assert findings.prerequisites["contoso"] == (MET,)
        assert "contoso" not in findings.expected
