"""Read what the operator's pipeline checks have stored, one Secret for each organization, and determine the states."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.pipelines.evidence import ExtensionState
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.cli.exit_codes import CommandFailed, ExitCode, command_failure
from defender_devops.errors import KubernetesConflict, OperatorError
from defender_devops.reconcile.facts.pipeline_results import WithoutResults, count_states
from defender_devops.reconcile.facts.pipelines import RepositoryAssessment, assess_repositories
from defender_devops.reconcile.observe.pipelines.evidence_store import EvidenceSecrets, decode_state

__all__ = ["OrganizationPipelines", "read_organizations"]

_READS_MAX: Final = 8
"""Secrets that are read at the same time."""

_FORBIDDEN: Final = 403


@dataclass(frozen=True, slots=True)
class OrganizationPipelines:
    """What was read of one organization.

    Attributes:
        connector: namespace and name of its connector.
        organization: name of the organization; empty for a failure of the whole connector.
        assessments: states of its repositories, sorted by project and name.
        counts: number of repositories in each state, whether or not they are among `assessments`.
        branches: full names of default branches by project and name of the repository.
        extension: state of the extension Microsoft Security DevOps.
        without_results: repositories whose scans have no results in Defender for Cloud.
        checked_at: end of the last check; None before the first one has ended.
        is_complete: whether everything was read once.
        failure: why there is no evidence.
    """

    connector: str
    organization: str = ""
    assessments: tuple[RepositoryAssessment, ...] = ()
    counts: Mapping[PipelineState, int] = field(default_factory=dict)
    branches: Mapping[tuple[str, str], str] = field(default_factory=dict)
    extension: ExtensionState = ExtensionState.UNKNOWN
    without_results: WithoutResults = field(default_factory=WithoutResults)
    checked_at: datetime | None = None
    is_complete: bool = True
    failure: CommandFailed | None = None

    @property
    def key(self) -> str:
        """Namespace and name of the connector, with the organization."""
        return f"{self.connector}/{self.organization}" if self.organization else self.connector

    @property
    def reads_are_complete(self) -> bool:
        """Whether all states are those of a complete check."""
        return self.failure is None and self.checked_at is not None and self.is_complete

    def results(self, assessment: RepositoryAssessment) -> str:
        """Return what Defender for Cloud shows of a repository that was scanned: "none", "unknown", or empty."""
        if assessment.state is not PipelineState.RAN:
            return ""
        if self.without_results.number is None:
            return "unknown"
        return "none" if assessment.full_name in self.without_results.names else ""


async def read_organizations(
    store: EvidenceSecrets, connector: AzureDevOpsConnector, organizations: Sequence[str], now: datetime
) -> list[OrganizationPipelines]:
    """Return the states of the repositories of a connector's organizations, each with its own failure."""
    limit = asyncio.Semaphore(_READS_MAX)

    async def read(organization: str) -> OrganizationPipelines:
        async with limit:
            try:
                return await _read(store, connector, organization, now)
            except OperatorError as error:
                return _failed(connector, organization, _secret_failure(error, connector.metadata.namespace))

    return list(await asyncio.gather(*(read(organization) for organization in organizations)))


async def _read(
    store: EvidenceSecrets, connector: AzureDevOpsConnector, organization: str, now: datetime
) -> OrganizationPipelines:
    data = await store.read(connector, organization)
    if data is None:
        failure = CommandFailed(
            "there is no evidence yet. The operator stores it some minutes after the organization is onboarded and its "
            "sign-in works; the condition PipelinesConfigured has the cause if that fails.",
            ExitCode.NOT_OK,
        )
        return _failed(connector, organization, failure)
    state = decode_state(data)
    if state is None:
        failure = CommandFailed(
            "the stored evidence is damaged, or of another version of the operator. Use the command line of the "
            "operator's version; the operator replaces evidence that it cannot read itself.",
            ExitCode.NOT_OK,
        )
        return _failed(connector, organization, failure)
    evidence = state.evidence()
    assessments = assess_repositories(evidence, state.agentless, organization, now)
    return OrganizationPipelines(
        _key(connector),
        organization,
        assessments,
        count_states(assessments),
        {(item.project, item.name): item.default_branch for item in evidence.repositories if item.default_branch},
        evidence.extension,
        state.without_results,
        # While a later check is under way, the start of that one is the nearest time that is known.
        (state.finished_at or state.started_at) if state.was_finished else None,
        is_complete=not state.has_backlog,
    )


def _failed(connector: AzureDevOpsConnector, organization: str, failure: CommandFailed) -> OrganizationPipelines:
    return OrganizationPipelines(_key(connector), organization, failure=failure)


def _key(connector: AzureDevOpsConnector) -> str:
    return f"{connector.metadata.namespace}/{connector.metadata.name}"


def _secret_failure(error: OperatorError, namespace: str) -> CommandFailed:
    if getattr(error, "status", None) == _FORBIDDEN:
        return CommandFailed(
            f"you may not read Secrets in namespace {namespace}, where the operator stores what it has read. Request "
            "the permission get secrets; the counts and examples in status.pipelines need no such permission.",
            ExitCode.NO_RIGHTS,
        )
    if isinstance(error, KubernetesConflict):
        return CommandFailed(error.message, ExitCode.NOT_OK)
    return command_failure(error)
