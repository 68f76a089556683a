"""Snapshots from a few words: fragments of YAML, each a merge patch over a connector that is adopted and all in order.

The world of the default: connector `contoso` with mode AllAndFuture and method Adopt, owned by us; Azure holds the
organizations contoso and fabrikam, each with a generated DevOpsOrganization; nothing is to do.

    spec, metadata, status      of the AzureDevOpsConnector, as in manifests
    azure                       what Azure holds: see `AZURE`; null where there is no connector
    unreadable                  {reason, message, terminal, code}: Azure could not be read
    resources                   DevOpsOrganizations by organization: spec, or a list of specs, and beside it
                                `generated`, `owned` (default: as `generated`), `name`, `age` (minutes), `tracked`,
                                `deleting`, `status`; null for none.
                                An organization of Azure that is not named here has a generated resource.
    code                        new | spent | refused | missing | of another account | of the account | unusual
    otherOwner                  deleting, if the other owner of this cluster is being deleted
    recordedOwner               exists | deleting: another resource has created or adopted the connector by its status
    signIn                      fields of `SignIn`, with `spec.signIn` beside it
    prerequisites, expected, counts, conflictingConnectors   by organization
    posture                     {enabled, answered, failure, stale, active, organizations: {contoso: {high/code: 3,
                                repositories: 2}}}; absent: it was not read
    plan                        on | off | {reason, message}: the plan Defender CSPM; absent: it was not read
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import yaml

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    ConnectorRef,
    Counts,
    DiscoveredCounts,
    InventoryItem,
    OnboardingState,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.api.connector import AzureDevOpsConnector, ConnectorStatus
from defender_devops.api.names import (
    API_VERSION,
    CONNECTOR,
    FINALIZER,
    LABEL_GENERATED,
    TAG_OWNER,
    TAG_RESOURCE,
    hierarchy_identifier,
)
from defender_devops.api.organization import DevOpsOrganization, Prerequisite
from defender_devops.api.posture import Category, PostureCounts, Severity
from defender_devops.errors import ErrorCategory
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.posture import CspmPlan, PostureObservation
from defender_devops.reconcile.facts.snapshot import (
    AuthorizationCode,
    AzureState,
    ConnectorSnapshot,
    Owner,
    RecordedOwner,
    SignIn,
    Timings,
)
from defender_devops.reconcile.plan.security_readers import SECURITY_READER, reader_assignment_name
from tests.support.manifests import connector as connector_manifest
from tests.support.manifests import merge

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = "77777777-7777-7777-7777-777777777777"
CLUSTER = "cluster-1"
OTHER_UID = "88888888-8888-8888-8888-888888888888"
CONNECTOR_ID = (
    "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg-devops-security"
    "/providers/Microsoft.Security/securityConnectors/contoso"
)
REF = ConnectorRef("22222222-2222-2222-2222-222222222222", "rg-devops-security", "contoso")
NEW_CODE, SPENT_CODE = "a" * 64, "b" * 64
ROLE = (
    "/subscriptions/22222222-2222-2222-2222-222222222222/providers/Microsoft.Authorization/roleDefinitions"
    f"/{SECURITY_READER}"
)

AZURE = yaml.safe_load("""
owner: ours                # nobody | another | dead | elsewhere (another cluster) | any tag
tags: {}                   # of others
location: westeurope
kind: AzureDevOps
guid: someone's            # ours, if the operator created the connector
configuration: {state: Succeeded, autoDiscovery: Enabled, message: '', agentless: null}
organizations:             # below the configuration: a state, or {state, annotations, provisioning, message}
  contoso: Onboarded
  fabrikam: Onboarded
others: {}                 # seen by listAvailableAzureDevOpsOrgs only
available: listed          # unknown | none
probe: null                # {reason, message, terminal, code, category}: why listAvailableAzureDevOpsOrgs failed
unreachable: []            # onboarded, but not in the answer of listAvailableAzureDevOpsOrgs
refusals: 1                # number of times that it failed in a row
reportedLoss: false        # it was refused, or listed nothing, since the operator's start
relied: false              # the last write used the authorization that exists, and has not succeeded since
readers: null              # by object id: ours | of an earlier version | theirs
""")

OWNER = {"apiVersion": API_VERSION, "kind": CONNECTOR.kind, "name": "contoso", "uid": UID}

_STATES = {
    "Onboarded": OnboardingState.ONBOARDED,
    "Held": OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR,
    "Free": OnboardingState.NOT_ONBOARDED,
}
_OWNERS = {
    "ours": f"{CLUSTER}/{UID}",
    "another": f"{CLUSTER}/{OTHER_UID}",
    "dead": f"{CLUSTER}/99999999-9999-9999-9999-999999999999",
    "elsewhere": "cluster-2/66666666-6666-6666-6666-666666666666",
}
_CATEGORIES = {
    "TokenExchangeFailed": "AUTHORIZATION",
    "Forbidden": "ACCESS",
    "CredentialsMissing": "ACCESS",
    "ProviderNotRegistered": "ACCESS",
    "AzureUnavailable": "TRANSIENT",
    "Throttled": "TRANSIENT",
    "InvalidSpec": "REQUEST",
}
_CODES = {
    "new": AuthorizationCode(NEW_CODE),
    "spent": AuthorizationCode(SPENT_CODE),
    "of another account": AuthorizationCode(NEW_CODE, account="alex@contoso.com"),
    "of the account": AuthorizationCode(NEW_CODE, account="MDC@contoso.com"),
    "unusual": AuthorizationCode(NEW_CODE, warning="The one-time code does not have the usual form."),
    "refused": AuthorizationCode(problem="Secret defender-code, key code: This is a code of Entra ID.", refused=True),
    "missing": AuthorizationCode(problem="There is no Secret defender-code. Put a one-time code there."),
}
_DEFAULT = yaml.safe_load("""
spec: {}
metadata: {}
status: {observedGeneration: 1, azure: {created: false}, authorization: {lastAuthorizedAt: '2026-02-01T08:00:00Z'}}
resources: {}
code: missing
""") | {"azure": AZURE}


@lru_cache(maxsize=1024)
def snapshot(*fragments: str, failures: int = 0, timings: Timings | None = None) -> ConnectorSnapshot:
    """The default with the fragments merged over it, one after another."""
    world: dict[str, Any] = _DEFAULT
    for fragment in fragments:
        world = merge(world, yaml.safe_load(fragment) or {})
    cloud = _cloud(world)
    resources = tuple(_resources(world, cloud))
    return ConnectorSnapshot(
        connector=_connector(world),
        owner=Owner(CLUSTER, UID),
        cloud=cloud,
        organizations=resources,
        code=_CODES[world["code"]],
        sign_in=SignIn(**world["signIn"]) if world.get("signIn") else None,
        prerequisites={
            key: tuple(map(Prerequisite.model_validate, checks)) for key, checks in _by(world, "prerequisites")
        },
        expected={key: Counts(*counts) for key, counts in _by(world, "expected")},
        inventory=DiscoveredCounts({key: Counts(*counts) for key, counts in _by(world, "counts")}),
        taken_names=frozenset({resource.metadata.name for resource in resources} | set(world.get("takenNames", ()))),
        existing_owner_uids=None if world.get("watches") == "one namespace" else frozenset({UID, OTHER_UID}),
        deleting_owner_uids=frozenset({OTHER_UID}) if world.get("otherOwner") == "deleting" else frozenset(),
        recorded_owner=RecordedOwner("other/owner", world["recordedOwner"] == "deleting")
        if world.get("recordedOwner")
        else None,
        conflicting_connectors=dict(_by(world, "conflictingConnectors")),
        posture=_posture(world["posture"]) if "posture" in world else None,
        cspm_plan=_plan(world["plan"]) if "plan" in world else None,
        timings=timings or Timings(),
        failures=failures,
    )


def cloud_of(world: ConnectorSnapshot) -> AzureState:
    """What Azure holds, where it could be read."""
    assert world.cloud.is_known
    return world.cloud


def with_status(world: ConnectorSnapshot, status: ConnectorStatus) -> ConnectorSnapshot:
    """Return the snapshot of the next reconcile, with a new status."""
    return replace(world, connector=world.connector.model_copy(update={"status": status}))


def _by(world: Mapping[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    yield from (world.get(key) or {}).items()


def _connector(world: Mapping[str, Any]) -> AzureDevOpsConnector:
    metadata = {"namespace": "security", "uid": UID, "generation": 1, "finalizers": [FINALIZER]}
    body = connector_manifest(**merge(metadata, world["metadata"]))
    body["spec"] = merge(body["spec"], world["spec"])
    return AzureDevOpsConnector.model_validate({**body, "status": world.get("status") or {}})


def _cloud(world: Mapping[str, Any]) -> AzureState:
    if world.get("unreadable"):
        return AzureState(read_failure=_failure(world["unreadable"]))
    azure = world.get("azure")
    if azure is None:
        return AzureState(fresh=True)
    below, other_items = (
        tuple(_organization(*item) for item in _by(azure, key)) for key in ("organizations", "others")
    )
    reachable = tuple(item for item in (*below, *other_items) if item.name not in azure["unreachable"])
    answers = {"listed": reachable, "none": (), "unknown": None}
    configuration = _configuration(azure.get("configuration"))
    return AzureState(
        connector=_azure_connector(azure),
        configuration=configuration,
        organizations=() if configuration is None else below,
        available=None if configuration is None else answers[azure["available"]],
        probe_failure=_failure(azure["probe"]) if azure.get("probe") else None,
        probe_failures=azure["refusals"] if azure.get("probe") else 0,
        probe_reported_loss=azure["reportedLoss"],
        relied_on_authorization=azure["relied"],
        probed_at=NOW - timedelta(minutes=1),
        readers=tuple(_reader(*item) for item in _by(azure, "readers")) if azure.get("readers") is not None else None,
        fresh=True,
    )


def _failure(description: Mapping[str, Any]) -> Failure:
    """A failure; its category is that of its reason unless the description names one."""
    category = description.get("category") or _CATEGORIES.get(description["reason"], "UNKNOWN")
    return Failure(**{**description, "category": ErrorCategory[category]})


def _posture(description: Mapping[str, Any]) -> PostureObservation:
    return PostureObservation(
        enabled=description.get("enabled", True),
        organizations={key: _posture_counts(dict(counts)) for key, counts in _by(description, "organizations")},
        answered_at=NOW - timedelta(minutes=5) if description.get("answered", True) else None,
        failure=_failure(description["failure"]) if description.get("failure") else None,
        stale_organizations=frozenset(description.get("stale", ())),
        active_organizations=frozenset(description.get("active", ())),
    )


def _posture_counts(numbers: dict[str, int]) -> PostureCounts:
    repositories, healthy, other = (numbers.pop(name, 0) for name in ("repositories", "healthy", "otherStatus"))
    unhealthy = {}
    for pair, number in numbers.items():
        severity, _, category = pair.partition("/")
        unhealthy[Severity(severity), Category(category)] = number
    return PostureCounts(unhealthy, healthy=healthy, other_status=other, affected_repositories=repositories)


def _plan(description: str | bool | Mapping[str, Any]) -> CspmPlan:
    if isinstance(description, Mapping):
        return CspmPlan(None, _failure(description))
    return CspmPlan(description in {True, "on"})


def _azure_connector(azure: Mapping[str, Any]) -> Connector:
    owner = {} if azure["owner"] == "nobody" else {TAG_OWNER: _OWNERS.get(azure["owner"], azure["owner"])}
    resource_tag = {TAG_RESOURCE: "security/contoso" if azure["owner"] == "ours" else "other/theirs"} if owner else {}
    return Connector(
        id=CONNECTOR_ID.lower(),
        location=azure["location"],
        tags=azure["tags"] | owner | resource_tag,
        hierarchy_identifier=hierarchy_identifier(UID) if azure["guid"] == "ours" else OTHER_UID,
        environment_name=azure["kind"],
    )


def _configuration(configuration: Mapping[str, Any] | None) -> Configuration | None:
    if configuration is None:
        return None
    agentless = configuration.get("agentless")
    return Configuration(
        provisioning_state=ProvisioningState(configuration["state"]),
        auto_discovery=AutoDiscovery(configuration["autoDiscovery"]),
        status_message=configuration["message"],
        agentless=None
        if agentless is None
        else AgentlessConfiguration(
            enabled=agentless.get("enabled", True),
            auto_discovery=AutoDiscovery(agentless.get("autoDiscovery", "Enabled")),
            scanners=tuple(agentless.get("scanners", ())),
            inventory_list_type=agentless.get("type", "Exclusion"),
            inventory=tuple(InventoryItem(*item) for item in agentless.get("inventory", ())),
        ),
    )


def _organization(name: str, state: str | Mapping[str, Any]) -> AzureOrganization:
    description = {"state": state} if isinstance(state, str) else state
    severity = description.get("annotations")
    return AzureOrganization(
        name=name,
        onboarding_state=_STATES[description.get("state", "Onboarded")],
        provisioning_state=ProvisioningState(description.get("provisioning", "Succeeded")),
        annotations=Annotations(enabled=severity is not None, minimum_severity=severity),
        status_message=description.get("message", ""),
    )


def _reader(principal: str, whose: str) -> RoleAssignment:
    names = {
        "ours": reader_assignment_name(REF, principal),
        "of an earlier version": str(uuid.uuid5(uuid.UUID(UID), f"securityReader/{principal}")),
        "theirs": str(uuid.uuid5(uuid.NAMESPACE_OID, principal)),
    }
    return RoleAssignment(names[whose], principal, ROLE)


def _resources(world: Mapping[str, Any], cloud: AzureState) -> Iterator[DevOpsOrganization]:
    description = world.get("resources")
    if description is None:
        return
    names = {organization.name for organization in (*cloud.organizations, *(cloud.available or ()))}
    mentioned = {name.lower() for name in description}
    for name in sorted(names):
        if name.lower() not in mentioned:
            yield resource(name, {"generated": True})
    for name, specs in description.items():
        for number, spec in enumerate(specs if isinstance(specs, list) else [specs]):
            if spec is not None:
                yield resource(name, {"name": f"declared-{name}-{number}"} | spec)


def resource(organization: str, description: Mapping[str, Any]) -> DevOpsOrganization:
    """A DevOpsOrganization; generated, tracked, … beside what its spec says."""
    metadata_keys = ("generated", "owned", "tracked", "deleting", "age", "name", "status", "generation")
    labels = {LABEL_GENERATED: "true"} if description.get("generated") else {}
    name = (
        f"contoso-{organization.lower()}"
        if description.get("generated") and "name" not in description
        else description.get("name")
    )
    if description.get("generated") and name == f"declared-{organization}-0":
        name = f"contoso-{organization.lower()}"
    age = timedelta(minutes=description.get("age", 60))
    return DevOpsOrganization.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": "security",
                "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(name))),
                "generation": description.get("generation", 1),
                "labels": labels,
                "annotations": {"argocd.argoproj.io/tracking-id": "app"} if description.get("tracked") else {},
                "creationTimestamp": (NOW - age).isoformat(),
                "deletionTimestamp": NOW.isoformat() if description.get("deleting") else None,
                "ownerReferences": [OWNER] if description.get("owned", description.get("generated")) else [],
            },
            "spec": {
                "connectorRef": {"name": "contoso"},
                "organization": organization,
                **{key: value for key, value in description.items() if key not in metadata_keys},
            },
            "status": description.get("status", {}),
        }
    )
