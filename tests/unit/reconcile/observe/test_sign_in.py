"""What a sign-in brings to a snapshot: found now, kept from before, or no longer vouched for."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from defender_devops.api.azure_types import Counts
from defender_devops.api.organization import DevOpsOrganization, Prerequisite
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.observe.sign_in import SignInFindings, SignInObserver
from defender_devops.reconcile.report.report import report
from defender_devops.signin.sessions.state import SignInState
from tests.unit.reconcile.builder import NOW, resource, snapshot
from tests.unit.reconcile.says import SIGN_IN

if TYPE_CHECKING:
    from defender_devops.azuredevops.prerequisite_checker import PrerequisiteChecker
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
class Desk:
    """A sign-in and an Azure DevOps that answer as they are told.

    Attributes:
        checks: what Azure DevOps answers; one that is missing must not be asked.
        counts: what it counts; None where it does not answer.
    """

    state: SignInState
    checks: dict[str, tuple[Prerequisite, ...]] = field(default_factory=dict)
    counts: dict[str, Counts | None] = field(default_factory=dict)

    forgotten: list[str] = field(default_factory=list)
    looked_anew: list[str] = field(default_factory=list)

    async def look(self, *resources: DevOpsOrganization, anew: bool = False) -> SignInFindings:
        async def state(_: object) -> SignInState:
            return self.state

        async def check(_: object, name: str) -> tuple[Prerequisite, ...]:
            return self.checks[name.lower()]

        async def expected_counts(_: object, name: str) -> Counts | None:
            return self.counts.get(name.lower())

        view = SignInObserver(
            cast(
                "SignIns",
                SimpleNamespace(state=state, request_check=lambda each: self.looked_anew.append(each.metadata.uid)),
            ),
            cast(
                "PrerequisiteChecker",
                SimpleNamespace(check=check, expected_counts=expected_counts, invalidate=self.forgotten.append),
            ),
        )
        return await view.look(CONNECTOR, NAMES, resources, anew=anew)


def told(organization: str, *made: Prerequisite, expected: tuple[int, int] | None = None) -> DevOpsOrganization:
    """A resource with what was found last in its status."""
    projects, repositories = expected or (None, None)
    status = {
        "prerequisites": [each.dump() for each in made],
        "projects": {"discovered": 1, "expected": projects},
        "repositories": {"discovered": 1, "expected": repositories},
    }
    return resource(organization, {"status": status, "name": organization.lower()})


async def test_what_is_found_now_counts() -> None:
    desk = Desk(WORKS, {"contoso": (UNMET,), "fabrikam": (MET,)}, {"contoso": Counts(2, 3), "fabrikam": Counts(0, 0)})
    found = await desk.look(told("contoso", MET, expected=(7, 7)), told("fabrikam", UNMET))
    assert found.prerequisites == {"contoso": (UNMET,), "fabrikam": (MET,)}
    assert found.expected == {"contoso": Counts(2, 3), "fabrikam": Counts(0, 0)}


async def test_who_asks_for_a_look_now_gets_new_answers() -> None:
    desk = Desk(WORKS, {"contoso": (MET,), "fabrikam": (MET,)})
    await desk.look()
    assert desk.forgotten + desk.looked_anew == []
    await desk.look(anew=True)
    assert desk.forgotten == desk.looked_anew == [CONNECTOR.metadata.uid]


async def test_while_entra_is_silent_what_was_told_stands_after_a_restart_too() -> None:
    found = await Desk(SILENT).look(told("Contoso", MET, expected=(2, 3)), told("tailspin", UNMET, expected=(1, 1)))
    assert found.prerequisites == {"contoso": (MET,)}
    assert found.expected == {"contoso": Counts(2, 3)}
    assert found.sign_in is not None
    assert (found.sign_in.signed_in, found.sign_in.is_lost) == (None, False)


async def test_a_lost_sign_in_vouches_for_nothing_but_what_was_to_do_is_still_to_do() -> None:
    found = await Desk(LOST).look(told("contoso", MET, expected=(2, 3)), told("fabrikam", UNMET, expected=(1, 1)))
    (unproved,) = found.prerequisites["contoso"]
    assert (unproved.status, unproved.reason) == ("Unknown", "SignInRequired")
    assert "the operator's own sign-in has stopped" in str(unproved.message).lower()
    assert found.prerequisites["fabrikam"] == (UNMET,)
    assert found.expected == {}, "without a sign-in nothing is expected"
    assert found.sign_in is not None
    assert found.sign_in.is_lost


async def test_before_anybody_has_signed_in_nothing_is_told() -> None:
    found = await Desk(SignInState(signed_in=False, reason="SignInRequired")).look(resource("contoso", {"name": "c"}))
    assert (found.prerequisites, found.expected) == ({}, {})
    assert found.sign_in is not None
    assert not found.sign_in.is_lost


@pytest.mark.parametrize(
    ("before", "made", "after"),
    [
        (MET, UNANSWERED, UNANSWERED),
        (UNMET, UNANSWERED, UNMET),
        (UNMET, check("Unknown", "TokenServiceUnavailable"), UNMET),
        (UNMET, check("Unknown", "AzureDevOpsDenied"), check("Unknown", "AzureDevOpsDenied")),
        (UNMET, MET, MET),
        (check("False", "OAuthDisabled", "ThirdPartyOAuthEnabled"), UNANSWERED, UNANSWERED),
    ],
)
async def test_what_a_person_must_do_does_not_go_away_because_azure_devops_is_silent(
    before: Prerequisite, made: Prerequisite, after: Prerequisite
) -> None:
    desk = Desk(WORKS, {"contoso": (made,), "fabrikam": ()})
    assert (await desk.look(told("contoso", before))).prerequisites["contoso"] == (after,)


async def test_counts_that_do_not_come_this_time_are_those_of_the_last() -> None:
    desk = Desk(WORKS, {"contoso": (MET,), "fabrikam": (MET,)}, {"contoso": None, "fabrikam": Counts(5, 5)})
    found = await desk.look(told("contoso", expected=(2, 3)), told("fabrikam", expected=(1, 1)))
    assert found.expected == {"contoso": Counts(2, 3), "fabrikam": Counts(5, 5)}


@pytest.mark.parametrize("state", [WORKS, SILENT, LOST])
async def test_an_account_that_lost_its_rights_stays_lost_until_a_check_finds_them(state: SignInState) -> None:
    resources = (told("contoso", UNMET), told("fabrikam", UNMET))
    found = await Desk(state, {"contoso": (UNANSWERED,), "fabrikam": (UNANSWERED,)}).look(*resources)
    assert found.sign_in is not None
    assert "Project Collection Administrator in none" in str(found.sign_in.authorizing_account_lost)
    back = await Desk(WORKS, {"contoso": (UNANSWERED,), "fabrikam": (MET,)}).look(*resources)
    assert back.sign_in is not None
    assert back.sign_in.authorizing_account_lost is None


def test_an_outage_of_entra_moves_nothing_in_a_status_but_the_sign_in() -> None:
    counts = "{expected: {contoso: [2, 3], fabrikam: [1, 1]}, counts: {contoso: [2, 3], fabrikam: [1, 0]}}"
    checks = "prerequisites: {contoso: [{check: AccessLevel, status: 'True'}]}"
    works = "signIn: {signed_in: true, reason: SignedIn, account: mdc@contoso.com}"
    silent = "signIn: {signed_in: null, reason: TokenServiceUnavailable, message: Wait., account: mdc@contoso.com}"
    before, during = (report(snapshot(SIGN_IN, counts, checks, each), None, NOW) for each in (works, silent))
    signed_in = [each for each in during.status.conditions if each not in before.status.conditions]
    assert [(each.type, each.reason) for each in signed_in] == [("SignedIn", Reason.TOKEN_SERVICE_UNAVAILABLE)]
    assert (before.status.discovery, before.status.sign_in) == (during.status.discovery, during.status.sign_in)
    assert [status for _, status in before.organizations] == [status for _, status in during.organizations]
