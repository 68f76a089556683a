"""A snapshot as the operator would gather it, but with Azure seen by the sign-in of this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from defender_devops.api.connector import AuthorizationMethod
from defender_devops.api.names import TAG_OWNER
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.cli.plan.cluster_context import Surroundings
from defender_devops.cli.plan.inputs import Subject
from defender_devops.errors import KubernetesError, OperatorError
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, Owner
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions

__all__ = ["Observation", "observe"]

_ASSUMED: Final = "0" * 64
"""Hash of a code that nobody has brought yet, to plan what would be done with it."""

_UNKNOWN_CLUSTER: Final = "this-cluster"


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot, and what it takes for granted.

    Attributes:
        snapshot: as the operator's own.
        notes: what could not be seen, and what was assumed instead.
    """

    snapshot: ConnectorSnapshot
    notes: tuple[str, ...] = ()


async def observe(subject: Subject, around: Surroundings, arm: ArmClient, now: datetime) -> Observation:
    """Read Azure for a subject.

    Raises:
        OperatorError: Azure does not let us, or does not answer.
    """
    connector = subject.connector
    ref, azure = connector.connector_ref, connector.status.azure
    readers = bool(connector.spec.security_readers or (azure and azure.security_readers))
    options = ReadOptions(fresh=True, probe=True, readers=readers)
    reader = AzureStateReader(SecurityConnectors(arm), RoleAssignments(arm))
    if connector.metadata.is_deleting:
        cloud = await reader.read_for_deletion(ref, options)
        return Observation(_snapshot(subject, around, cloud, AuthorizationCode()))
    cloud = await reader.read(ref, None, options, now)
    code, remark = await _code(subject, around, cloud)
    remarks = [remark] if remark else []
    if cloud.probe_failure is not None:
        remarks.append(f"The organizations that Defender sees could not be listed. {cloud.probe_failure.message}")
    return Observation(_snapshot(subject, around, cloud, code), tuple(remarks))


def _snapshot(subject: Subject, around: Surroundings, cloud: AzureState, code: AuthorizationCode) -> ConnectorSnapshot:
    namespace = subject.connector.metadata.namespace
    return ConnectorSnapshot(
        connector=subject.connector,
        owner=_owner(subject, around, cloud),
        cloud=cloud,
        organizations=subject.organizations,
        code=code,
        taken_names=frozenset(name for place, name in around.organizations if place == namespace),
        existing_owner_uids=around.existing_owner_uids,
    )


def _owner(subject: Subject, around: Surroundings, cloud: AzureState) -> Owner:
    """Who we are in the owner tag.

    A tag with the uid of the resource is its own, whatever the operator was told to call this cluster.
    """
    uid = subject.connector.metadata.uid
    tagged = Owner.parse(cloud.connector.tags.get(TAG_OWNER, "")) if cloud.connector is not None else None
    if tagged is not None and tagged.uid == uid:
        return tagged
    return Owner(around.cluster_id or _UNKNOWN_CLUSTER, uid)


async def _code(subject: Subject, around: Surroundings, cloud: AzureState) -> tuple[AuthorizationCode, str | None]:
    """The one-time code as the operator would find it; where a connector waits for one, as if it were there."""
    authorization = subject.connector.spec.authorization
    reference = authorization.code_secret_ref
    if authorization.method is not AuthorizationMethod.CODE or reference is None:
        return AuthorizationCode(), None
    found, problem = await _read_code(subject, around)
    waits = cloud.connector is None or cloud.configuration is None
    if found.sha256 is None and waits and not found.refused:
        why = f" ({problem.rstrip('.')})" if problem else ""
        place = f"key {reference.key} of Secret {reference.name}"
        return replace(found, sha256=_ASSUMED, problem=None), f"Planned as if a new one-time code were in {place}{why}."
    return found, problem


async def _read_code(subject: Subject, around: Surroundings) -> tuple[AuthorizationCode, str | None]:
    codes = around.codes
    if codes is None:
        return AuthorizationCode(), None
    try:
        found, _ = await codes.read(subject.connector)
    except KubernetesError as error:
        return AuthorizationCode(), f"it could not be read: {error.message}"
    except OperatorError as error:
        return AuthorizationCode(), error.message
    return found, found.problem
