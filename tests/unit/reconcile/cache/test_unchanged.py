"""A look that found what the last one left needs neither a plan nor a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta

import pytest

from defender_devops.api.azure_types import Counts, DiscoveredCounts, ProvisioningState
from defender_devops.api.organization import Prerequisite
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, Failure, SignIn
from tests.unit.reconcile.builder import NOW, cloud_of, snapshot

WORLD = snapshot("azure: {organizations: {contoso: Onboarded}}", "resources: {contoso: {}}")

STANDS_STILL = {
    "owner": "the cluster and the uid",
    "connector": "by its resourceVersion",
    "organizations": "by their resourceVersions",
    "taken_names": "only what is missing is given a name, and where something is missing there is something to do",
    "existing_owner_uids": "only of a connector that is somebody else's: it is left alone, or only observed",
    "namespaces": "a setting",
    "timings": "settings",
    "failures": "a look that failed has no rest, and one that follows it counts none",
    "namespace_terminating": "found by a write that failed",
    "derived": "made of the others",
}
"""Parts of a snapshot that a rest does not keep, each with the cause."""


def found(change: Callable[[AzureState], AzureState]) -> ConnectorSnapshot:
    return replace(WORLD, cloud=change(cloud_of(WORLD)))


def version(of: str) -> ConnectorSnapshot:
    if of == "connector":
        metadata = WORLD.connector.metadata.model_copy(update={"resource_version": "9"})
        return replace(WORLD, connector=WORLD.connector.model_copy(update={"metadata": metadata}))
    first, *others = WORLD.organizations
    changed = first.model_copy(update={"metadata": first.metadata.model_copy(update={"resource_version": "9"})})
    return replace(WORLD, organizations=(changed, *others))


def configured(**change: object) -> ConnectorSnapshot:
    def changed(cloud: AzureState) -> AzureState:
        assert cloud.configuration is not None
        return replace(cloud, configuration=replace(cloud.configuration, **change))

    return found(changed)


def last_inputs(world: ConnectorSnapshot = WORLD) -> ReconcileInputs:
    made = ReconcileInputs.of(world, None)
    assert made is not None
    return made


def test_a_rest_holds_whenever_and_however_azure_was_asked() -> None:
    again = found(lambda cloud: replace(cloud, probed_at=NOW + timedelta(hours=1), fresh=not cloud.fresh))
    assert last_inputs().is_unchanged(again, NOW)


@pytest.mark.parametrize(
    "changed",
    [
        version("connector"),
        version("organization"),
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
        replace(WORLD, cloud=Failure("AzureUnavailable", "down")),
        found(lambda cloud: replace(cloud, probe_failure=Failure("AuthorizationLost", "revoked"))),
        found(lambda cloud: replace(cloud, available=())),
        found(lambda cloud: replace(cloud, organizations=())),
        found(lambda _: AzureState()),
        configured(provisioning_state=ProvisioningState.FAILED),
    ],
    ids=lambda _: "",
)
def test_whatever_else_changes_ends_it(changed: ConnectorSnapshot) -> None:
    assert not last_inputs().is_unchanged(changed, NOW)


@pytest.mark.parametrize(
    "waiting",
    [
        replace(WORLD, cloud=Failure("AzureUnavailable", "down")),
        configured(provisioning_state=ProvisioningState.PENDING),
        found(lambda _: AzureState()),
        found(lambda cloud: replace(cloud, pending_requests={"tags": ("key", NOW)})),
    ],
    ids=["a read that failed", "an operation", "no connector", "a wish that may be repeated"],
)
def test_who_waits_for_something_does_not_rest(waiting: ConnectorSnapshot) -> None:
    assert ReconcileInputs.of(waiting, None) is None


def test_it_ends_when_a_deadline_does() -> None:
    made = ReconcileInputs.of(WORLD, NOW)
    assert made is not None
    assert made.is_unchanged(WORLD, NOW - timedelta(seconds=1))
    assert not made.is_unchanged(WORLD, NOW)


def test_every_part_of_a_snapshot_is_kept_or_stands_still() -> None:
    kept = {each.name for each in fields(ReconcileInputs)} - {"versions", "valid_until"}
    assert {each.name for each in fields(ConnectorSnapshot)} == kept | STANDS_STILL.keys()
