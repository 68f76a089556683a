"""A snapshot as the operator would gather it, with Azure read by the sign-in of this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from defender_devops.api.connector import AuthorizationMethod
from defender_devops.api.names import TAG_OWNER
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.cli.inputs.cluster_context import ClusterContext
from defender_devops.cli.inputs.connector_inputs import ConnectorInput
from defender_devops.errors import KubernetesError, OperatorError
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.facts.snapshot import AuthorizationCode, AzureState, ConnectorSnapshot, Owner
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions
from defender_devops.reconcile.observe.conflicting_connectors import find_recorded_owner

__all__ = ["Observation", "observe_input"]

_ASSUMED_CODE_HASH: Final = "0" * 64
"""Hash of a one-time code that does not exist yet, to plan what would be done with it."""

_UNKNOWN_CLUSTER: Final = "this-cluster"


@dataclass(frozen=True, slots=True)
class Observation:
    """A snapshot and its assumptions.

    Attributes:
        snapshot: the same as the operator's.
        notes: what could not be read, and what was assumed instead.
    """

    snapshot: ConnectorSnapshot
    notes: tuple[str, ...] = ()


async def observe_input(item: ConnectorInput, context: ClusterContext, arm: ArmClient, now: datetime) -> Observation:
    """Read Azure for a connector.

    Raises:
        OperatorError: Azure refuses or does not respond.
    """
    connector = item.connector
    ref, azure = connector.connector_ref, connector.status.azure
    readers = bool(connector.spec.security_readers or (azure and azure.security_readers))
    options = ReadOptions(fresh=True, probe=True, readers=readers)
    reader = AzureStateReader(SecurityConnectors(arm), RoleAssignments(arm))
    notes: list[str] = []
    code = AuthorizationCode()
    if connector.metadata.is_deleting:
        state = await reader.read_for_deletion(ref, options)
    else:
        state = await reader.read(ref, None, options, now)
        code, note = await _read_code(item, context, state)
        notes += [note] if note else []
        if state.probe_failure is not None:
            notes.append(f"The organizations that Defender can see could not be listed. {state.probe_failure.message}")
    namespace = connector.metadata.namespace
    snapshot = ConnectorSnapshot(
        connector=connector,
        owner=_owner(item, context, state),
        cloud=state,
        organizations=item.organizations,
        code=code,
        taken_names=frozenset(name for place, name in context.organizations if place == namespace),
        existing_owner_uids=context.existing_owner_uids,
        deleting_owner_uids=context.deleting_owner_uids,
        recorded_owner=find_recorded_owner(
            Key.from_metadata(connector.metadata), context.with_equal_connector_id(connector)
        ),
    )
    return Observation(snapshot, tuple(notes))


def _owner(item: ConnectorInput, context: ClusterContext, state: AzureState) -> Owner:
    """Return the owner that the operator would write into the owner tag.

    A tag with the uid of the resource is kept: the operator's setting may give this cluster a name of its own.
    """
    uid = item.connector.metadata.uid
    tagged_owner = Owner.parse(state.connector.tags.get(TAG_OWNER, "")) if state.connector is not None else None
    if tagged_owner is not None and tagged_owner.uid == uid:
        return tagged_owner
    return Owner(context.cluster_id or _UNKNOWN_CLUSTER, uid)


async def _read_code(
    item: ConnectorInput, context: ClusterContext, state: AzureState
) -> tuple[AuthorizationCode, str | None]:
    """Return the one-time code and a note. A connector that waits for a code is planned as if the code existed."""
    authorization = item.connector.spec.authorization
    reference = authorization.code_secret_ref
    if authorization.method is not AuthorizationMethod.CODE or reference is None:
        return AuthorizationCode(), None
    code, problem = AuthorizationCode(), None
    if (codes := context.codes) is not None:
        try:
            code, _ = await codes.read(item.connector)
            problem = code.problem
        except KubernetesError as error:
            problem = f"it could not be read: {error.message}"
        except OperatorError as error:
            problem = error.message
    is_code_needed = state.connector is None or state.configuration is None
    if code.sha256 is None and is_code_needed and not code.refused:
        cause = f" ({problem.rstrip('.')})" if problem else ""
        place = f"key {reference.key} of Secret {reference.name}"
        code = replace(code, sha256=_ASSUMED_CODE_HASH, problem=None)
        return code, f"Planned as if a new one-time code were in {place}{cause}."
    return code, problem
