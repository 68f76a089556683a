"""The snapshot: everything that one reconcile has read, as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from defender_devops.api.azure_types import (
    AzureOrganization,
    Configuration,
    Connector,
    Counts,
    DiscoveredCounts,
    RoleAssignment,
)
from defender_devops.api.connector import AzureDevOpsConnector, ManagementPolicy
from defender_devops.api.organization import DevOpsOrganization, Prerequisite
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.pending_requests import PendingRequest, annotations_request_key
from defender_devops.reconcile.facts.pipeline_results import PipelinesObservation
from defender_devops.reconcile.facts.posture import CspmPlan, PostureObservation

__all__ = ["AuthorizationCode", "AzureState", "ConnectorSnapshot", "Owner", "RecordedOwner", "SignIn", "Timings"]


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
        """Parse a tag. Text that is not `<cluster>/<uid>` becomes an owner that equals no resource of this operator."""
        cluster, _, uid = tag.rpartition("/")
        return cls(cluster, uid)


@dataclass(frozen=True, slots=True)
class RecordedOwner:
    """Another resource of this cluster that owns the same Azure connector by its status, whatever the tags say.

    Attributes:
        name: the resource as text for messages.
        is_deleting: it is being deleted.
    """

    name: str
    is_deleting: bool = False


@dataclass(frozen=True, slots=True)
class AzureState:
    """What Azure holds for one connector.

    Where Azure could not be read, `read_failure` says why and all else is empty, which then does not mean that it does
    not exist: ask `is_known` first, or use the properties, which are false for an unknown state.

    Attributes:
        connector: None if it does not exist.
        configuration: `devops/default`; None if it does not exist.
        organizations: the organizations below the configuration; they are not read while it is being changed.
        available: the answer of listAvailableAzureDevOpsOrgs; None if it was not requested or failed.
        probe_failure: why the last call of listAvailableAzureDevOpsOrgs failed.
        probe_failures: number of calls of listAvailableAzureDevOpsOrgs that failed in a row.
        probe_reported_loss: whether a call of listAvailableAzureDevOpsOrgs was refused, or listed nothing, since the
            operator read the connector first. Its answers then follow the authorization; otherwise they may be old.
        probed_at: time of the last call of listAvailableAzureDevOpsOrgs.
        relied_on_authorization: whether the last write of the configuration used the authorization that exists, and
            has not succeeded since: a failed token exchange is then the answer to that write.
        readers: Security Reader assignments at the connector's scope; None if they were not read.
        pending_requests: the last change requested from Azure for each key. An equal request is not repeated before
            some time has passed: Azure may be slow, may return the state before it, or may never fulfil it.
        fresh: all of it was read from ARM in this reconcile, so a write may rest on it.
        is_recalled: since the operator's start nothing of it was read from ARM: it is what statuses and Resource Graph
            agree on, with the time at which the authorization would have been checked last.
        read_failure: why Azure could not be read.
    """

    connector: Connector | None = None
    configuration: Configuration | None = None
    organizations: tuple[AzureOrganization, ...] = ()
    available: tuple[AzureOrganization, ...] | None = None
    probe_failure: Failure | None = None
    probe_failures: int = 0
    probe_reported_loss: bool = False
    probed_at: datetime | None = None
    relied_on_authorization: bool = False
    readers: tuple[RoleAssignment, ...] | None = None
    pending_requests: Mapping[str, PendingRequest] = field(default_factory=dict)
    fresh: bool = False
    is_recalled: bool = False
    read_failure: Failure | None = None

    @property
    def is_known(self) -> bool:
        """Whether Azure could be read."""
        return self.read_failure is None

    @property
    def lacks_configuration(self) -> bool:
        """Whether Azure was read and the connector, or its DevOps configuration, does not exist."""
        return self.read_failure is None and self.configuration is None

    @property
    def is_settled(self) -> bool:
        """Whether a configuration exists and is not being changed: only then are its organizations known."""
        return self.configuration is not None and not self.configuration.is_in_progress

    @property
    def onboarded(self) -> dict[str, str]:
        """The organizations that the connector holds: their names, by name in lower case."""
        return {
            organization.name.lower(): organization.name
            for organization in self.organizations
            if organization.is_onboarded
        }

    @property
    def is_busy(self) -> bool:
        """Whether an operation is in progress on the configuration, or on an organization as the operator requested."""
        if self.configuration is not None and self.configuration.is_in_progress:
            return True
        return any(
            organization.is_in_progress and annotations_request_key(organization.name) in self.pending_requests
            for organization in self.organizations
        )


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """Defender's one-time code, known here only by its hash.

    Attributes:
        sha256: hex digest; None if there is no code.
        problem: why there is no code, or why it is rejected before it is used; with how to fix it.
        refused: there is a code, but Defender could not redeem it.
        account: account that the code was issued to, if the code contains it.
        warning: what is unusual about a code that is sent all the same.
    """

    sha256: str | None = None
    problem: str | None = None
    refused: bool = False
    account: str | None = None
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """The operator's own sign-in to Azure DevOps.

    Attributes:
        signed_in: None if unknown (not checked yet, or a transient failure of the token service).
        reason: reason of the condition SignedIn if it is not True.
        message: message of that condition.
        account: user principal name of the signed-in account.
        tenant_id: its tenant.
        url: address of the sign-in page, the same for the life of the resource.
        expires_at: when the refresh token expires.
        is_lost: it worked before and needs a person now.
        authorizing_account_lost: why the account that authorizes Defender no longer can, if a prerequisite check shows.
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
    """The intervals that decisions depend on, from the settings.

    Attributes:
        probe_interval: between two calls of listAvailableAzureDevOpsOrgs, which proves the authorization.
        resend_interval: before a change that Azure accepted but did not carry out is requested again.
        listing_interval: between two listings of the projects of an organization that Resource Graph has no row of.
        poll_interval: between two reads of an operation in progress.
        settle_interval: without expected counts, discovery is complete once nothing has changed for this long.
        max_transient_failures: number of failed reads in a row that do not change the conditions of a Ready connector.
    """

    probe_interval: timedelta = timedelta(minutes=10)
    resend_interval: timedelta = timedelta(minutes=10)
    listing_interval: timedelta = timedelta(minutes=10)
    poll_interval: timedelta = timedelta(seconds=20)
    settle_interval: timedelta = timedelta(hours=1)
    max_transient_failures: int = 3


@dataclass(frozen=True, slots=True)
class ConnectorSnapshot:
    """Everything that the plan and the report for one AzureDevOpsConnector depend on.

    Attributes:
        connector: the resource.
        owner: the value of its owner tag.
        cloud: what Azure holds.
        organizations: the DevOpsOrganizations that refer to the connector, oldest first.
        code: the one-time code in the Secret, by hash.
        sign_in: None with method None.
        prerequisites: checks by organization, in lower case.
        expected: counts in Azure DevOps by organization, in lower case; only with a sign-in.
        inventory: counts that Defender reported.
        pipelines: what the pipeline checks show by organization, in lower case; empty if they are disabled.
        taken_names: names of all DevOpsOrganizations in the namespace, which a generated one must avoid; with
            `removed_owner_uids` the only field that changes without an event for this connector.
        existing_owner_uids: uids of the connectors in this cluster; None if not all of them can be listed.
        deleting_owner_uids: those of them that are being deleted.
        removed_owner_uids: uids of connectors that this process has seen being removed from the cluster.
        namespaces: the only namespaces whose connectors are listed; None means all.
        recorded_owner: another resource of this cluster that has created or adopted this connector; None if there is
            none.
        conflicting_connectors: the other connector that holds an organization (its name in lower case), as text.
        posture: recommendations of Defender; None where they were not read.
        cspm_plan: the plan Defender CSPM of the subscription; None where it was not read.
        timings: intervals.
        failures: number of failed reconciles in a row before this one.
    """

    connector: AzureDevOpsConnector
    owner: Owner
    cloud: AzureState
    organizations: tuple[DevOpsOrganization, ...] = ()
    code: AuthorizationCode = AuthorizationCode()
    sign_in: SignIn | None = None
    prerequisites: Mapping[str, tuple[Prerequisite, ...]] = field(default_factory=dict)
    expected: Mapping[str, Counts] = field(default_factory=dict)
    inventory: DiscoveredCounts = field(default_factory=DiscoveredCounts)
    pipelines: Mapping[str, PipelinesObservation] = field(default_factory=dict)
    taken_names: AbstractSet[str] = frozenset()
    existing_owner_uids: AbstractSet[str] | None = None
    deleting_owner_uids: frozenset[str] = frozenset()
    removed_owner_uids: AbstractSet[str] = frozenset()
    namespaces: frozenset[str] | None = None
    recorded_owner: RecordedOwner | None = None
    conflicting_connectors: Mapping[str, str] = field(default_factory=dict)
    posture: PostureObservation | None = None
    cspm_plan: CspmPlan | None = None
    timings: Timings = Timings()
    failures: int = 0

    @property
    def is_observe_only(self) -> bool:
        """Whether managementPolicy Observe forbids every write to Azure."""
        return self.connector.spec.management_policy is ManagementPolicy.OBSERVE
