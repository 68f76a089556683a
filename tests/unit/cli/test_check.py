from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.cli.check.checks import Check, azure_checks, of_failure
from defender_devops.cli.check.organizations import OrganizationChecks, check_organizations
from defender_devops.errors import AzureDevOpsDenied, AzureUnavailable, Forbidden, OperatorError
from tests.unit.reconcile.builder import snapshot
from tests.unit.reconcile.cases import CODE


def in_azure(*world: str) -> dict[str, Check]:
    return {check.name: check for check in azure_checks(snapshot(*world))}


def test_a_connector_in_order_passes_every_check() -> None:
    assert {check.status for check in in_azure().values()} == {"True"}
    assert set(in_azure()) == {"Readable", "Connector", "Authorized", "OrganizationsAvailable"}


OUTCOMES = [
    ("an unknown region may be a slip", ("spec: {azure: {location: westurope}}",), "Region", "Unknown", "westeurope?"),
    ("another's connector", ("azure: {owner: another}", "status: {azure: null}"), "Connector", "False", "Always"),
    ("no connector to adopt", ("azure: null",), "Connector", "False", "Defender portal"),
    ("a connector that a code will make", ("azure: null", CODE), "Connector", "True", "one-time code"),
    (
        "a lost authorization",
        ("azure: {available: none}", "status: {discovery: {organizations: {available: 2}}}"),
        "Authorized",
        "False",
        "authorize again",
    ),
    ("an authorization that we may not ask about", ("azure: {available: unknown}",), "Authorized", "Unknown", ""),
    (
        "an organization that another connector holds",
        ("spec: {organizations: {mode: Selected, names: [contoso, tailspin]}}", "azure: {others: {tailspin: Held}}"),
        "OrganizationsAvailable",
        "False",
        "tailspin",
    ),
]


@pytest.mark.parametrize(("why", "world", "name", "status", "words"), OUTCOMES, ids=[each[0] for each in OUTCOMES])
def test_azure_is_judged_in_the_operator_s_words(
    why: str, world: tuple[str, ...], name: str, status: str, words: str
) -> None:
    check = in_azure(*world)[name]
    assert check.status == status
    assert words in check.message


def test_where_there_is_no_connector_its_authorization_is_not_asked_for() -> None:
    assert "Authorized" not in in_azure("azure: null", CODE)


FAILURES = [
    (Forbidden("Azure denied it."), "False"),
    (AzureUnavailable("No answer. The operator will retry."), "Unknown"),
]


@pytest.mark.parametrize(("error", "status"), FAILURES)
def test_azure_that_cannot_be_read_fails_only_for_good(error: OperatorError, status: str) -> None:
    check = of_failure(error)
    assert (check.name, check.status) == ("Readable", status)
    assert "The operator will retry" not in check.message


@dataclass
class Checker:
    """In place of `azuredevops.checker.PrerequisiteChecker`."""

    outcomes: dict[str, Prerequisite] = field(default_factory=dict)
    sees: tuple[str, ...] | OperatorError = ()
    asked: list[AzureDevOpsConnector] = field(default_factory=list)

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        self.asked.append(connector)
        return (self.outcomes.get(organization) or Prerequisite(check="TenantMatches", status="True"),)

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        if isinstance(self.sees, OperatorError):
            raise self.sees
        return self.sees


async def checked(checker: Checker, *world: str, unseen: bool = False) -> OrganizationChecks:
    seen = snapshot(*world)
    return await check_organizations(seen.connector, None if unseen else seen, checker)  # type: ignore[arg-type]


def subjects(found: OrganizationChecks) -> list[str]:
    return [check.subject for check in found.checks]


async def test_every_organization_that_is_wanted_is_checked() -> None:
    assert subjects(await checked(Checker())) == ["contoso", "fabrikam"]


async def test_what_is_left_out_is_not_checked() -> None:
    assert subjects(await checked(Checker(), "spec: {organizations: {exclude: [fabrikam]}}")) == ["contoso"]


async def test_named_organizations_are_checked_though_azure_could_not_be_read() -> None:
    named = "spec: {organizations: {mode: Selected, names: [tailspin]}}"
    assert subjects(await checked(Checker(), named, unseen=True)) == ["tailspin"]


async def test_where_nobody_is_named_yet_those_that_we_see_are_checked_and_that_is_said() -> None:
    world = ("azure: null", "spec: {organizations: {exclude: [litware]}}", "spec: {authorization: {account: a@b.c}}")
    found = await checked(Checker(sees=("Contoso", "litware")), *world)
    assert subjects(found) == ["Contoso"]
    assert found.note == "Checked are the organizations that you are a member of; a@b.c may see others."


async def test_where_we_see_none_that_is_said() -> None:
    found = await checked(Checker(), "azure: null")
    assert (found.checks, found.note) == (
        (),
        "You are a member of no organization, so nothing could be checked in Azure DevOps.",
    )


async def test_where_they_cannot_be_listed_the_reason_is_told() -> None:
    found = await checked(Checker(sees=AzureDevOpsDenied("Not a member.")), "azure: null")
    assert found.note == "Which organizations there are could not be told. Not a member."


async def test_another_s_account_is_checked_as_another_s() -> None:
    client = "client: {id: 55555555-5555-5555-5555-555555555555}"
    sign_in = f"spec: {{signIn: {{method: DeviceCode, account: mdc@contoso.com, {client}}}}}"
    checker = Checker()
    await checked(checker, sign_in)
    assert checker.asked[0].spec.sign_in is None
    assert checker.asked[0].spec.authorizing_account == "mdc@contoso.com"


MISSING = Prerequisite(
    check=PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION, status="False", reason="ExtensionMissing", message="Missing."
)


async def test_before_onboarding_the_extension_may_be_missing() -> None:
    named = "spec: {organizations: {mode: Selected, names: [contoso, tailspin]}}"
    checker = Checker({"contoso": MISSING, "tailspin": MISSING})
    found = await checked(checker, named, "azure: {others: {tailspin: Free}}")
    assert {check.subject: check.status for check in found.checks} == {"contoso": "False", "tailspin": "Unknown"}
