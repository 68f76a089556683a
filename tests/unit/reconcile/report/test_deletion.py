"""What is said of a connector that is going, and the way out where Azure does not let it."""

from __future__ import annotations

import json
import re

import pytest

from defender_devops.api.conditions import Condition, find_condition, is_true
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import DeleteConnector, RemoveOwnerTags
from defender_devops.reconcile.actions.kubernetes import RemoveFinalizer
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.report.deletion import remaining_owner_tags
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import CLUSTER, CONNECTOR_ID, NOW, UID, snapshot
from tests.unit.reconcile.cases import OBSERVE
from tests.unit.reconcile.condition_cases import unreadable
from tests.unit.reconcile.plan.test_deletion import (
    ABSENT,
    ADOPTED,
    CREATED,
    DETACH,
    FORGOTTEN,
    GOING,
    NO_GROUP,
    SUSPEND,
)

PATCH = (
    "kubectl -n security patch azuredevopsconnector contoso --type merge "
    """-p '{"spec":{"deletionPolicy":"Detach"}}'"""
)
FORBIDDEN = Failure("Forbidden", "Azure forbids to delete. Give it the right.", terminal=True)


def said(*world: str, failure: Failure | None = None) -> tuple[Condition, str]:
    """Ready, and what kstatus would make of the rest."""
    conditions = report(Assessment(snapshot(GOING, *world)), failure, NOW).status.conditions
    ready = find_condition(conditions, "Ready")
    assert ready is not None
    assert ready.status == "False"
    flags = [kind for kind in ("Reconciling", "Stalled") if is_true(conditions, kind)]
    assert len(flags) == 1
    return ready, flags[0]


@pytest.mark.parametrize(
    ("world", "phrases"),
    [
        ((CREATED,), "being deleted in Azure"),
        ((ADOPTED,), "stays in Azure"),
        ((CREATED, OBSERVE), "Azure is not changed"),
        ((CREATED, SUSPEND), "Azure is not changed"),
        ((ADOPTED, unreadable("AzureUnavailable", terminal=False)), "stays in Azure"),
        ((CREATED, DETACH, unreadable("CredentialsMissing", terminal=True)), "stays in Azure"),
        ((CREATED, NO_GROUP), "being deleted in Azure"),
    ],
)
def test_deleting_states_what_happens_in_azure(world: tuple[str, ...], phrases: str) -> None:
    ready, flag = said(*world)
    assert (ready.reason, flag) == (Reason.DELETING, "Reconciling")
    assert phrases in ready.message


@pytest.mark.parametrize("reason", ["Forbidden", "InvalidSpec", "ProviderNotRegistered"])
def test_a_terminal_failure_blocks_deletion(reason: str) -> None:
    ready, flag = said(CREATED, unreadable(reason, terminal=True))
    assert (ready.reason, flag) == (Reason.DELETION_BLOCKED, "Stalled")
    assert ready.message == (
        "The connector cannot be deleted in Azure: Do this about it. To delete only the resource and keep the "
        f"connector in Azure: {PATCH}"
    )


def test_missing_credentials_block_deletion_and_the_patch_is_named_before_the_cause() -> None:
    ready, flag = said(CREATED, unreadable("CredentialsMissing", terminal=True))
    assert (ready.reason, flag) == (Reason.DELETION_BLOCKED, "Stalled")
    assert ready.message == (
        "The connector cannot be deleted in Azure. If the namespace is being deleted, no Secret can be created in it: "
        "run the command at the end, which leaves the connector in Azure, and without credentials its owner tags too. "
        "Otherwise: Do this about it. To delete only the resource and keep the connector in Azure: " + PATCH
    )


@pytest.mark.parametrize("reason", ["AzureUnavailable", "Throttled"])
def test_a_transient_failure_blocks_deletion_and_shows_the_command(reason: str) -> None:
    ready, flag = said(CREATED, unreadable(reason, terminal=False))
    assert (ready.reason, flag) == (Reason.DELETION_BLOCKED, "Reconciling")
    assert PATCH in ready.message


def test_a_step_that_failed_blocks_deletion() -> None:
    ready, flag = said(CREATED, failure=FORBIDDEN)
    assert (ready.reason, flag) == (Reason.DELETION_BLOCKED, "Stalled")
    assert "Give it the right. To delete only the resource" in ready.message


def test_the_cause_is_reported_in_provisioned() -> None:
    result = report(Assessment(snapshot(GOING, CREATED, unreadable("CredentialsMissing", terminal=True))), None, NOW)
    provisioned = find_condition(result.status.conditions, "Provisioned")
    assert provisioned is not None
    assert (provisioned.status, provisioned.reason) == ("False", "CredentialsMissing")


def test_a_failure_in_kubernetes_does_not_block_deletion() -> None:
    ready, flag = said(CREATED, failure=Failure("KubernetesUnavailable", "The API server is down."))
    assert (ready.reason, ready.message, flag) == (Reason.DELETING, "The API server is down.", "Reconciling")


def test_the_command_is_complete_however_long_the_cause() -> None:
    cause = Failure("PolicyDenied", "ä" * 3000, terminal=True)
    ready, _ = said(CREATED, "metadata: {name: " + "n" * 63 + ", namespace: " + "s" * 63 + "}", failure=cause)
    assert len(ready.message.encode()) <= 1024
    assert "…" in ready.message
    assert re.search("kubectl -n s{63} patch azuredevopsconnector n{63} --type merge -p '(.*)'$", ready.message)


def test_the_patch_of_the_command_releases_the_connector() -> None:
    ready, _ = said(CREATED, failure=FORBIDDEN)
    patch = re.search("-p '(.*)'$", ready.message)
    assert patch is not None
    spec = json.loads(patch[1])["spec"]
    assert spec == {"deletionPolicy": "Detach"}


def test_the_status_of_a_connector_stays_while_it_is_deleted() -> None:
    world = snapshot(GOING, CREATED, "status: {connectorId: /x, discovery: {percent: 94}}", "metadata: {generation: 4}")
    status = report(Assessment(world), None, NOW).status
    assert status.connector_id == "/x"
    assert status.discovery == world.connector.status.discovery
    assert status.azure == world.connector.status.azure
    assert status.observed_generation == 4


def test_the_statuses_of_organizations_stay_while_the_connector_is_deleted() -> None:
    status = "status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True', reason: Onboarded}]}"
    resources = f"resources: {{contoso: {{generated: true, {status}}}, fabrikam: {{onboarding: Onboarded, {status}}}}}"
    assert not report(Assessment(snapshot(GOING, CREATED, resources)), FORBIDDEN, NOW).organizations


REMOVE_TAGS, LET_GO = RemoveOwnerTags({}, ()), RemoveFinalizer()
COMMAND = (
    f"az tag update --operation Delete --resource-id {CONNECTOR_ID} --tags defender-devops-owner={CLUSTER}/{UID} "
    "defender-devops-resource=security/contoso"
)


@pytest.mark.parametrize(
    ("world", "applied", "phrase"),
    [
        ((ADOPTED,), (LET_GO,), "Azure refused or did not answer"),
        ((ADOPTED, unreadable("AzureUnavailable", terminal=False)), (LET_GO,), "Do this about it"),
        ((CREATED, DETACH, unreadable("CredentialsMissing", terminal=True)), (LET_GO,), "Do this about it"),
        ((CREATED, SUSPEND), (LET_GO,), "spec.suspend"),
        ((ADOPTED, OBSERVE), (LET_GO,), "managementPolicy Observe"),
        # no tags of this resource remain
        ((ADOPTED,), (REMOVE_TAGS, LET_GO), None),
        ((CREATED,), (DeleteConnector(CONNECTOR_ID), LET_GO), None),
        ((CREATED, ABSENT), (LET_GO,), None),
        ((ADOPTED, "azure: {owner: another}"), (LET_GO,), None),
        ((FORGOTTEN, unreadable("CredentialsMissing", terminal=True)), (LET_GO,), None),
        ((FORGOTTEN, SUSPEND), (LET_GO,), None),
        # the resource stays
        ((ADOPTED,), (REMOVE_TAGS,), None),
        ((CREATED, unreadable("Forbidden", terminal=True)), (), None),
    ],
)
def test_owner_tags_that_remain_are_reported_with_the_command_that_removes_them(
    world: tuple[str, ...], applied: tuple[Action, ...], phrase: str | None
) -> None:
    message = remaining_owner_tags(Assessment(snapshot(GOING, *world)), applied)
    if phrase is None:
        assert message is None
    else:
        assert message is not None
        assert phrase in message
        assert message.endswith(COMMAND)


def test_the_command_fits_an_event_however_long_the_cause() -> None:
    long = (
        "{metadata: {name: "
        + "n" * 63
        + ", namespace: "
        + "s" * 63
        + "}, spec: {azure: {resourceGroup: "
        + "g" * 90
        + "}, deletionPolicy: Detach}, unreadable: {reason: Forbidden, message: "
        + "m" * 900
        + "}}"
    )
    message = remaining_owner_tags(Assessment(snapshot(GOING, CREATED, long)), (LET_GO,))
    assert message is not None
    assert len(message) <= 1024
    assert message.endswith("s" * 63 + "/" + "n" * 63)
