from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    ConnectorRef,
    InventoryItem,
)
from defender_devops.api.connector import AzureDevOpsConnector, DeletionPolicy, SignInMethod, parse_connector
from tests.support.manifests import CLIENT, connector


def parse(patch: str = "", status: Mapping[str, object] | None = None, **metadata: object) -> AzureDevOpsConnector:
    return parse_connector({**connector(patch, **metadata), **({"status": status} if status is not None else {})})


def test_the_name_in_azure_is_the_resource_name_unless_specified() -> None:
    assert parse().connector_ref == ConnectorRef(
        "22222222-2222-2222-2222-222222222222", "rg-devops-security", "contoso"
    )
    assert parse("azure: {connectorName: legacy}").connector_ref.name == "legacy"


@pytest.mark.parametrize(
    ("patch", "account"),
    [
        ("", None),
        ("signIn: {method: None, account: a@b.c}", "a@b.c"),
        ("authorization: {account: d@b.c}", "d@b.c"),
        ("{authorization: {account: d@b.c}, signIn: {method: None, account: a@b.c}}", "d@b.c"),
    ],
)
def test_the_authorizing_account_is_the_declared_one_or_the_one_that_signs_in(patch: str, account: str | None) -> None:
    assert parse(patch).spec.authorizing_account == account


@pytest.mark.parametrize(
    ("patch", "status", "policy"),
    [
        ("", None, DeletionPolicy.DETACH),
        ("", {"azure": {"created": False}}, DeletionPolicy.DETACH),
        ("", {"azure": {"created": True}}, DeletionPolicy.DELETE),
        ("{deletionPolicy: Delete}", {"azure": {"created": False}}, DeletionPolicy.DELETE),
        ("{deletionPolicy: Detach}", {"azure": {"created": True}}, DeletionPolicy.DETACH),
    ],
)
def test_only_what_the_operator_created_is_deleted_by_default(
    patch: str, status: Mapping[str, object] | None, policy: DeletionPolicy
) -> None:
    assert parse(patch, status).deletion_policy is policy


def test_absent_blocks_mean_their_defaults() -> None:
    spec = parse().spec
    assert spec.sign_in_method is SignInMethod.NONE
    assert spec.discovery.deadline == timedelta(hours=8)
    assert spec.authorization.method.value == "Adopt"
    assert spec.suspend is False
    assert spec.pull_request_annotations is None
    assert spec.agentless_scanning is None


def test_a_deadline_is_a_timedelta() -> None:
    assert parse("discovery: {deadline: 1h30m}").spec.discovery.deadline == timedelta(minutes=90)


def test_organizations_compare_in_lower_case() -> None:
    assert parse("organizations: {exclude: [Sandbox]}").spec.organizations.excluded_names == {"sandbox"}
    assert parse("organizations: {mode: Selected, names: [Fabrikam]}").spec.organizations.selected_names == {"fabrikam"}


@pytest.mark.parametrize(
    ("patch", "name"),
    [
        ("", "contoso-azure-devops-token"),
        (f"signIn: {{method: ServicePrincipal, {CLIENT}}}", "contoso-azure-devops-token"),
        (f"signIn: {{method: ServicePrincipal, {CLIENT}, tokenSecretName: tokens}}", "tokens"),
    ],
)
def test_the_token_secret_is_the_named_one_or_the_default(patch: str, name: str) -> None:
    assert parse(patch).token_secret_name == name


@pytest.mark.parametrize(
    ("annotation", "handled", "requested"),
    [(None, None, False), (None, "1", False), ("1", None, True), ("2", "1", True), ("1", "1", False)],
)
def test_every_new_value_of_the_annotation_requests_a_reconcile(
    annotation: str | None, handled: str | None, requested: bool
) -> None:
    annotations = {"defender-devops.io/reconcile-requested-at": annotation} if annotation else {}
    status = {"lastHandledReconcileAt": handled} if handled else {}
    assert parse("", status, annotations=annotations).is_reconcile_requested is requested


@pytest.mark.parametrize("value", ["1" * 257, "1" * 200_000, "\xfc" * 129, "\x1b[31m", "now\n", "\u202e"])
def test_a_value_that_no_status_can_repeat_requests_one_reconcile(value: str) -> None:
    annotations = {"defender-devops.io/reconcile-requested-at": value}
    requested = parse("", {}, annotations=annotations)
    assert requested.is_reconcile_requested
    handled = requested.reconcile_requested_at
    assert handled is not None
    assert len(handled) <= 256
    assert handled.isprintable()
    assert not parse("", {"lastHandledReconcileAt": handled}, annotations=annotations).is_reconcile_requested
    another = {"defender-devops.io/reconcile-requested-at": f"{value}2"}
    assert parse("", {"lastHandledReconcileAt": handled}, annotations=another).is_reconcile_requested


@pytest.mark.parametrize(
    ("patch", "desired"),
    [
        ("{mode: Enabled}", Annotations(enabled=True, minimum_severity="Medium")),
        ("{mode: Enabled, minimumSeverity: High}", Annotations(enabled=True, minimum_severity="High")),
        ("{mode: Disabled, minimumSeverity: High}", Annotations(enabled=False)),
    ],
)
def test_the_desired_annotations_in_azure(patch: str, desired: Annotations) -> None:
    spec = parse(f"pullRequestAnnotations: {patch}").spec.pull_request_annotations
    assert spec is not None
    assert spec.desired() == desired


@pytest.mark.parametrize(
    ("patch", "desired"),
    [
        (
            (
                "{mode: Enabled, scope: [{organization: o}, {organization: o, project: p},"
                " {organization: o, project: p, repository: r}], scanners: [x]}"
            ),
            AgentlessConfiguration(
                enabled=True,
                scanners=("x",),
                inventory_list_type="Exclusion",
                inventory=(
                    InventoryItem("AzureDevOpsOrganization", "o"),
                    InventoryItem("AzureDevOpsProject", "o/p"),
                    InventoryItem("AzureDevOpsRepository", "o/p/r"),
                ),
            ),
        ),
        (
            "{mode: Enabled, inventory: Inclusion, scope: [{organization: o}]}",
            AgentlessConfiguration(
                enabled=True,
                inventory_list_type="Inclusion",
                inventory=(InventoryItem("AzureDevOpsOrganization", "o"),),
            ),
        ),
        ("{mode: Enabled}", AgentlessConfiguration(enabled=True, auto_discovery=AutoDiscovery.ENABLED)),
        ("{mode: Disabled}", AgentlessConfiguration(enabled=False)),
    ],
)
def test_the_desired_scanning_in_azure_discovers_new_code_only_without_a_scope(
    patch: str, desired: AgentlessConfiguration
) -> None:
    spec = parse(f"agentlessScanning: {patch}").spec.agentless_scanning
    assert spec is not None
    assert spec.desired() == desired
