"""Everything that one reconcile knows, as one immutable value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from defender_devops.api.azure_types import (
    AzureOrganization,
    Configuration,
    Connector,
    Counts,
    DiscoveredCounts,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import DevOpsOrganization, Prerequisite
from defender_devops.errors import AzureError, OperatorError

__all__ = [
    "AuthorizationCode",
    "AzureState",
    "ConnectorSnapshot",
    "Failure",
    "Owner",
    "SignIn",
    "Timings",
    "annotations_request_key",
    "failure_of",
    "is_in_progress",
    "worked_out_once",
]


@dataclass(frozen=True, slots=True)
class Owner:
    """The value of the tag `defender-devops-owner`: which resource of which cluster owns an Azure connector.

    Attributes:
        cluster: uid of the cluster's namespace kube-system (or the setting clusterId).
        uid: uid of the AzureDevOpsConnector.
    """

    cluster: str
    uid: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.uid}"

    @classmethod
    def parse(cls, tag: str) -> Owner:
        """Read a tag; anything that is not `<cluster>/<uid>` is an owner that can never be ours."""
        cluster, _, uid = tag.rpartition("/")
        return cls(cluster, uid)


@dataclass(frozen=True, slots=True)
class Failure:
    """A read or an action that failed, in the words of its error.

    Attributes:
        reason: reason constant of the condition it ends in.
        message: what happened and what to do; safe to show.
        terminal: only a person can mend it.
        retry_after: seconds that the service asked to wait.
        code: Azure's error code, where there was one.
    """

    reason: str
    message: str
    terminal: bool = False
    retry_after: float | None = None
    code: str | None = None


def failure_of(error: OperatorError) -> Failure:
    """An error as a value that a report can be made of."""
    return Failure(
        reason=error.reason,
        message=error.message,
        terminal=error.terminal,
        retry_after=error.retry_after,
        code=error.code if isinstance(error, AzureError) else None,
    )


def is_in_progress(written: Configuration | AzureOrganization) -> bool:
    """Whether an operation on it has not ended."""
    return written.provisioning_state in {ProvisioningState.PENDING, ProvisioningState.PENDING_DELETION}


def annotations_request_key(organization: str) -> str:
    """What `AzureState.pending_requests` knows the annotations of an organization by."""
    return f"annotations/{organization.lower()}"


@dataclass(frozen=True, slots=True)
class AzureState:
    """What Azure holds for one connector.

    Attributes:
        connector: None means that it does not exist.
        configuration: `devops/default`; None means that it does not exist.
        organizations: the organizations below the configuration; they are not read while it is being changed.
        available: what listAvailableAzureDevOpsOrgs gave, or None where it was not asked or failed.
        probe_failure: why listAvailableAzureDevOpsOrgs failed the last time it was asked.
        probed_at: when listAvailableAzureDevOpsOrgs was asked last.
        readers: Security Reader assignments at the connector's scope, or None where they were not read.
        pending_requests: the last change requested from Azure for each key, as (value, time of the request). An equal
            request is not repeated before a check interval has passed: Azure may be slow, or may never fulfil it.
        fresh: all of it was read from ARM in this reconcile, so a write may rest on it.
        derived: what was worked out of it, see `worked_out_once`.
    """

    connector: Connector | None = None
    configuration: Configuration | None = None
    organizations: tuple[AzureOrganization, ...] = ()
    available: tuple[AzureOrganization, ...] | None = None
    probe_failure: Failure | None = None
    probed_at: datetime | None = None
    readers: tuple[RoleAssignment, ...] | None = None
    pending_requests: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
    fresh: bool = False
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def is_settled(self) -> bool:
        """Whether there is a configuration that is not being changed: only then is known what is below it."""
        return self.configuration is not None and not is_in_progress(self.configuration)

    @property
    def is_busy(self) -> bool:
        """Whether an operation is under way, on the configuration or as we asked on an organization."""
        if self.configuration is not None and is_in_progress(self.configuration):
            return True
        return any(
            is_in_progress(each) and annotations_request_key(each.name) in self.pending_requests
            for each in self.organizations
        )


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """Defender's one-time code, known here by its hash only.

    Attributes:
        sha256: hex digest, or None where there is no code to be had.
        problem: why there is none, or why it is refused before it is spent; with what to do.
        refused: there is one, but its shape says that Defender could not redeem it.
    """

    sha256: str | None = None
    problem: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class SignIn:
    """The operator's own sign-in into Azure DevOps.

    Attributes:
        signed_in: None where it is not known (yet, or for a passing failure of the token service).
        reason: reason of the condition SignedIn where it is not True.
        message: what to do, in words.
        account: user principal name that is signed in.
        tenant_id: its tenant.
        url: address of the sign-in page, stable for the resource.
        expires_at: when the refresh token ends.
        is_lost: it worked, and it does not any more before a person acts.
        authorizing_account_lost: why the account that authorizes Defender can no longer do so, where a check found it.
    """

    signed_in: bool | None = None
    reason: str = ""
    message: str = ""
    account: str | None = None
    tenant_id: str | None = None
    url: str | None = None
    expires_at: datetime | None = None
    is_lost: bool = False
    authorizing_account_lost: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """The intervals that decisions rest on, from the settings.

    Attributes:
        check_interval: between two looks at an authorization that works.
        poll_interval: to the next look at an operation under way.
        settle_interval: without expected counts, discovery counts as complete when nothing moved for so long.
        patience: failed reads in a row that leave the conditions of a working connector alone.
    """

    check_interval: timedelta = timedelta(minutes=10)
    poll_interval: timedelta = timedelta(seconds=20)
    settle_interval: timedelta = timedelta(hours=1)
    patience: int = 3


@dataclass(frozen=True, slots=True)
class ConnectorSnapshot:
    """All that a plan and a report for one AzureDevOpsConnector rest on.

    Attributes:
        connector: the resource.
        owner: what our owner tag says.
        organizations: the DevOpsOrganizations that refer to it, oldest first.
        cloud: what Azure holds, or why that is not known.
        code: the one-time code in the Secret, by hash.
        sign_in: None with method None.
        prerequisites: checks by organization, in lower case.
        expected: counts of Azure DevOps by organization, in lower case; only where a sign-in allows to know them.
        inventory: counts that Defender reported.
        taken_names: names of all DevOpsOrganizations in the namespace, for a generated one to avoid; the only part that
            goes on changing with the cluster.
        existing_owner_uids: uids of the connectors that are known in this cluster, or None where nobody can tell.
        namespaces: the only ones whose connectors are known; None means all.
        conflicting_connectors: the other connector that holds an organization (its name in lower case), as text.
        timings: intervals.
        failures: failed reconciles in a row before this one.
        namespace_terminating: the namespace is going.
        derived: what was worked out of it, see `worked_out_once`.
    """

    connector: AzureDevOpsConnector
    owner: Owner
    cloud: AzureState | Failure
    organizations: tuple[DevOpsOrganization, ...] = ()
    code: AuthorizationCode = AuthorizationCode()
    sign_in: SignIn | None = None
    prerequisites: Mapping[str, tuple[Prerequisite, ...]] = field(default_factory=dict)
    expected: Mapping[str, Counts] = field(default_factory=dict)
    inventory: DiscoveredCounts = field(default_factory=DiscoveredCounts)
    taken_names: AbstractSet[str] = frozenset()
    existing_owner_uids: frozenset[str] | None = None
    namespaces: frozenset[str] | None = None
    conflicting_connectors: Mapping[str, str] = field(default_factory=dict)
    timings: Timings = Timings()
    failures: int = 0
    namespace_terminating: bool = False
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


S = TypeVar("S", "AzureState", "ConnectorSnapshot")
T = TypeVar("T")


def worked_out_once(function: Callable[[S], T]) -> Callable[[S], T]:
    """Keep with a snapshot what a pure function makes of it: a report asks a dozen times. Nobody may change that."""
    name = function.__name__

    @wraps(function)
    def remembered(snapshot: S) -> T:
        if name not in snapshot.derived:
            snapshot.derived[name] = function(snapshot)
        kept: T = snapshot.derived[name]
        return kept

    return remembered
