"""A reconcile whose inputs are unchanged needs neither a plan nor a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from defender_devops.api.azure_types import Counts, DiscoveredCounts, ProvisioningState
from defender_devops.api.organization import Prerequisite
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.pending_requests import PendingRequest
from defender_devops.reconcile.facts.posture import CspmPlan, PostureCounts, PostureObservation
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, SignIn
from tests.unit.reconcile.builder import NOW, cloud_of, snapshot

POSTURE = PostureObservation()
ANSWERED = replace(POSTURE, answered_at=NOW, organizations={"contoso": PostureCounts(healthy=1, latest_change=NOW)})
WORLD = replace(
    snapshot("azure: {organizations: {contoso: Onboarded}}", "resources: {contoso: {}}"),
    posture=ANSWERED,
    cspm_plan=CspmPlan(is_enabled=True),
)

NOT_COMPARED = {
    "owner": "the cluster and the uid",
    "connector": "by its resourceVersion",
    "organizations": "by their resourceVersions",
    "taken_names": "only a new resource needs a name, and then there is something to do",
    "existing_owner_uids": "only of a connector that is somebody else's: it is left alone, or only observed",
    "deleting_owner_uids": "as existing_owner_uids",
    "removed_owner_uids": "as existing_owner_uids",
    "recorded_owner": "as existing_owner_uids",
    "namespaces": "a setting",
    "timings": "settings",
    "failures": "a failed reconcile keeps no inputs, and the next success resets the number",
}
"""Parts of a snapshot that are not compared, each with the reason."""


def with_state(change: Callable[[AzureState], AzureState]) -> ConnectorSnapshot:
    return replace(WORLD, cloud=change(cloud_of(WORLD)))


def with_version(kind: str) -> ConnectorSnapshot:
    if kind == "connector":
        metadata = WORLD.connector.metadata.model_copy(update={"resource_version": "9"})
        return replace(WORLD, connector=WORLD.connector.model_copy(update={"metadata": metadata}))
    first, *remaining = WORLD.organizations
    changed = first.model_copy(update={"metadata": first.metadata.model_copy(update={"resource_version": "9"})})
    return replace(WORLD, organizations=(changed, *remaining))


def configured(**change: object) -> ConnectorSnapshot:
    def changed(cloud: AzureState) -> AzureState:
        assert cloud.configuration is not None
        return replace(cloud, configuration=replace(cloud.configuration, **change))

    return with_state(changed)


def inputs_of(world: ConnectorSnapshot = WORLD) -> ReconcileInputs:
    inputs = ReconcileInputs.of(world, None)
    assert inputs is not None
    return inputs


def test_inputs_are_unchanged_whenever_and_however_azure_was_read() -> None:
    again = with_state(lambda cloud: replace(cloud, probed_at=NOW + timedelta(hours=1), fresh=not cloud.fresh))
    assert inputs_of().is_unchanged(again, NOW)


def test_an_equal_answer_of_a_later_poll_changes_nothing() -> None:
    later = NOW + timedelta(hours=1)
    counts = PostureCounts(healthy=1, latest_change=later)
    again = replace(WORLD, posture=replace(ANSWERED, answered_at=later, organizations={"contoso": counts}))
    assert inputs_of().is_unchanged(again, NOW)


def test_the_first_answer_without_rows_is_a_change() -> None:
    before = inputs_of(replace(WORLD, posture=POSTURE))
    assert not before.is_unchanged(replace(WORLD, posture=replace(POSTURE, answered_at=NOW)), NOW)


@pytest.mark.parametrize(
    "changed",
    [
        with_version("connector"),
        with_version("organization"),
        replace(WORLD, organizations=()),
        replace(WORLD, code=AuthorizationCode("f" * 64)),
        replace(WORLD, sign_in=SignIn(signed_in=False)),
        replace(
            WORLD,
            prerequisites={
                "contoso": (
                    Prerequisite.model_validate(
                        {"check": "ThirdPartyOAuth", "status": "False", "reason": "OAuthDisabled"}
                    ),
                )
            },
        ),
        replace(WORLD, expected={"contoso": Counts(9, 9)}),
        replace(WORLD, inventory=DiscoveredCounts({"contoso": Counts(9, 9)})),
        replace(WORLD, conflicting_connectors={"contoso": "another"}),
        replace(WORLD, posture=None),
        replace(WORLD, posture=POSTURE),
        replace(WORLD, posture=replace(ANSWERED, organizations={"contoso": PostureCounts(healthy=9)})),
        replace(WORLD, posture=replace(ANSWERED, organizations={})),
        replace(WORLD, posture=replace(ANSWERED, failure=Failure("Throttled", "too many"))),
        replace(WORLD, posture=replace(ANSWERED, stale_organizations={"contoso"})),
        replace(WORLD, posture=replace(ANSWERED, active_organizations={"contoso"})),
        replace(WORLD, cspm_plan=CspmPlan(is_enabled=False)),
        replace(WORLD, cspm_plan=CspmPlan(None, Failure("Forbidden", "no"))),
        replace(WORLD, cloud=AzureState(read_failure=Failure("AzureUnavailable", "down"))),
        with_state(lambda cloud: replace(cloud, probe_failure=Failure("AuthorizationLost", "revoked"))),
        with_state(lambda cloud: replace(cloud, available=())),
        with_state(lambda cloud: replace(cloud, organizations=())),
        with_state(lambda _: AzureState()),
        configured(provisioning_state=ProvisioningState.FAILED),
    ],
    ids=lambda _: "",
)
def test_any_other_change_makes_them_differ(changed: ConnectorSnapshot) -> None:
    assert not inputs_of().is_unchanged(changed, NOW)


@pytest.mark.parametrize(
    "waiting",
    [
        replace(WORLD, cloud=AzureState(read_failure=Failure("AzureUnavailable", "down"))),
        configured(provisioning_state=ProvisioningState.PENDING),
        with_state(lambda _: AzureState()),
        with_state(lambda cloud: replace(cloud, pending_requests={"tags": PendingRequest("key", NOW)})),
    ],
    ids=["a read that failed", "an operation", "no connector", "a pending request"],
)
def test_a_connector_that_waits_for_something_has_no_reusable_inputs(waiting: ConnectorSnapshot) -> None:
    assert ReconcileInputs.of(waiting, None) is None


def test_inputs_are_valid_until_the_deadline() -> None:
    inputs = ReconcileInputs.of(WORLD, NOW)
    assert inputs is not None
    assert inputs.is_unchanged(WORLD, NOW - timedelta(seconds=1))
    assert not inputs.is_unchanged(WORLD, NOW)


def test_every_part_of_a_snapshot_is_compared_or_listed_as_not_compared() -> None:
    compared = {field.name for field in fields(ReconcileInputs)} - {"versions", "valid_until"}
    assert {field.name for field in fields(ConnectorSnapshot)} == compared | NOT_COMPARED.keys()
