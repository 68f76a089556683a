"""`status.pipelines` of an organization: which of its repositories are scanned."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from defender_devops.api.schema.model import ApiModel, Count, Text, Timestamp

__all__ = ["PipelineExample", "PipelinesStatus", "RepositoryStates"]


class RepositoryStates(ApiModel):
    """Number of repositories in each state."""

    ran: Count
    """A scan ran in the last completed build of the default branch."""

    configured: Count
    """A pipeline has the task, but no such build shows that it ran."""

    covered_otherwise: Count
    """Scanned by something else: agentless code scanning, GitHub Advanced Security, or another task."""

    undecided: Count
    """What could be read does not decide it."""

    missing: Count
    """Everything was read, and nothing scans it."""

    not_applicable: Count
    """Nothing to scan: an empty or disabled repository, a fork, or TFVC."""


class PipelineExample(ApiModel):
    """One repository that is not scanned, or of which that cannot be decided."""

    repository: Annotated[Text, Field(max_length=256)]
    """Project and name of the repository, as `project/repository`."""

    state: Annotated[Text, Field(max_length=32)]
    """missing or undecided."""

    reason: Annotated[Text, Field(max_length=64)]
    """Machine-readable reason; the documentation explains the cause of each and what to do."""


class PipelinesStatus(ApiModel):
    """Which repositories are scanned, from the last complete check."""

    repositories: RepositoryStates | None = None
    """Number of repositories in each state."""

    ran_without_results: Count | None = None
    """Repositories whose scans ran more than 48 hours ago and of which Defender for Cloud shows nothing; absent while
    that is not known, for which the condition PipelinesConfigured has the reason."""

    examples_without_results: Annotated[
        tuple[Annotated[Text, Field(max_length=256)], ...],
        Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """At most ten of these repositories, as `project/repository`."""

    examples: Annotated[
        tuple[PipelineExample, ...],
        Field(max_length=20, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Repositories that are not scanned, and repositories that cannot be decided, at most ten of each."""

    checked_at: Timestamp | None = None
    """When the numbers or the examples last changed; a check that changes nothing does not move it."""
