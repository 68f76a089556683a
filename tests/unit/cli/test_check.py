from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.cli.check.checks import Check, azure_checks, failed_read_check
from defender_devops.cli.check.organizations import OrganizationChecks, check_organizations
from defender_devops.errors import AzureDevOpsDenied, AzureUnavailable, Forbidden, OperatorError
from tests.unit.reconcile.builder import snapshot
from tests.unit.reconcile.cases import CODE


def in_azure(*world: str) -> dict[str, Check]:
    return {check.name: check for check in azure_checks(snapshot(*world))}


def test_a_healthy_connector_passes_every_check() -> None:
    assert {check.status for check in in_azure().values()} == {"True"}
    assert set(in_azure()) == {"Readable", "Connector", "Authorized", "OrganizationsAvailable"}


OUTCOMES = [
    ("an unknown region may be a typo", ("spec: {azure: {location: westurope}}",), "Region", "Unknown", "westeurope?"),
    (
        "another's connector",
        ("azure: {owner: another}", "status: {azure: null}"),
        "Connector",
        "False",
        "deletionPolicy Detach",
    ),
    ("no connector to adopt", ("azure: null",), "Connector", "False", "Defender portal"),
    ("a connector that a code will create", ("azure: null", CODE), "Connector", "True", "one-time code"),
    (
        "a lost authorization",
        ("azure: {available: none}", "status: {discovery: {organizations: {available: 2}}}"),
        "Authorized",
        "False",
        "authorize again",
    ),
    ("an authorization that may not be read", ("azure: {available: unknown}",), "Authorized", "Unknown", ""),
    (
        "an organization that another connector holds",
        ("spec: {organizations: {mode: Selected, names: [contoso, tailspin]}}", "azure: {others: {tailspin: Held}}"),
        "OrganizationsAvailable",
        "False",
        "tailspin",
    ),
]


@pytest.mark.parametrize(
    ("case", "world", "name", "status", "message"), OUTCOMES, ids=[outcome[0] for outcome in OUTCOMES]
)
def test_azure_is_checked_with_the_operator_s_messages(
    case: str, world: tuple[str, ...], name: str, status: str, message: str
) -> None:
    check = in_azure(*world)[name]
    assert check.status == status
    assert message in check.message


def test_the_authorization_of_a_missing_connector_is_not_checked() -> None:
    assert "Authorized" not in in_azure("azure: null", CODE)


FAILURES = [
    (Forbidden("Azure denied it."), "False"),
    (AzureUnavailable("No answer. The operator will retry."), "Unknown"),
]


@pytest.mark.parametrize(("error", "status"), FAILURES)
def test_a_transient_read_error_is_not_a_failed_check(error: OperatorError, status: str) -> None:
    check = failed_read_check(error)
    assert (check.name, check.status) == ("Readable", status)
    assert "The operator will retry" not in check.message


@dataclass
class FakeReader:
    """In place of `azuredevops.azure_devops_reader.AzureDevOpsReader`."""

    outcomes: dict[str, Prerequisite] = field(default_factory=dict)
    visible: tuple[str, ...] | OperatorError = ()
    connectors: list[AzureDevOpsConnector] = field(default_factory=list)

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        self.connectors.append(connector)
        return (self.outcomes.get(organization) or Prerequisite(check="TenantMatches", status="True"),)

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        if isinstance(self.visible, OperatorError):
            raise self.visible
        return self.visible


async def checked(reader: FakeReader, *world: str, is_unreadable: bool = False) -> OrganizationChecks:
    state = snapshot(*world)
    return await check_organizations(state.connector, None if is_unreadable else state, reader)  # type: ignore[arg-type]


def subjects(result: OrganizationChecks) -> list[str]:
    return [check.subject for check in result.checks]


async def test_every_selected_organization_is_checked() -> None:
    assert subjects(await checked(FakeReader())) == ["contoso", "fabrikam"]


async def test_an_excluded_organization_is_not_checked() -> None:
    assert subjects(await checked(FakeReader(), "spec: {organizations: {exclude: [fabrikam]}}")) == ["contoso"]


async def test_named_organizations_are_checked_even_if_azure_could_not_be_read() -> None:
    named = "spec: {organizations: {mode: Selected, names: [tailspin]}}"
    assert subjects(await checked(FakeReader(), named, is_unreadable=True)) == ["tailspin"]


async def test_without_names_the_visible_organizations_are_checked_and_that_is_noted() -> None:
    world = ("azure: null", "spec: {organizations: {exclude: [litware]}}", "spec: {authorization: {account: a@b.c}}")
    result = await checked(FakeReader(visible=("Contoso", "litware")), *world)
    assert subjects(result) == ["Contoso"]
    assert result.note == ("The organizations that you are a member of were checked; a@b.c may be a member of others.")


async def test_no_visible_organization_is_noted() -> None:
    result = await checked(FakeReader(), "azure: null")
    assert (result.checks, result.note) == (
        (),
        "You are not a member of any organization, so nothing could be checked in Azure DevOps.",
    )


async def test_a_failed_list_of_organizations_is_noted_with_its_cause() -> None:
    result = await checked(FakeReader(visible=AzureDevOpsDenied("Not a member.")), "azure: null")
    assert result.note == "The organizations could not be listed. Not a member."


async def test_the_account_of_the_sign_in_is_checked_as_another_account() -> None:
    client = "client: {id: 55555555-5555-5555-5555-555555555555}"
    sign_in = f"spec: {{signIn: {{method: DeviceCode, account: mdc@contoso.com, {client}}}}}"
    reader = FakeReader()
    await checked(reader, sign_in)
    assert reader.connectors[0].spec.sign_in is None
    assert reader.connectors[0].spec.authorizing_account == "mdc@contoso.com"


MISSING = Prerequisite(
    check=PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION, status="False", reason="ExtensionMissing", message="Missing."
)


async def test_the_extension_may_be_missing_before_onboarding() -> None:
    named = "spec: {organizations: {mode: Selected, names: [contoso, tailspin]}}"
    reader = FakeReader({"contoso": MISSING, "tailspin": MISSING})
    result = await checked(reader, named, "azure: {others: {tailspin: Free}}")
    assert {check.subject: check.status for check in result.checks} == {"contoso": "False", "tailspin": "Unknown"}
