"""States of a repository by the evidence that it is scanned, each reason with its cause and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["PIPELINE_REASONS", "PipelineReason", "PipelineReasonText", "PipelineState"]


class PipelineState(StrEnum):
    """Whether a repository is scanned."""

    RAN = "ran"
    """A scan ran in the last completed build of the default branch."""

    CONFIGURED = "configured"
    """A pipeline has the task, but no such build shows that it ran."""

    COVERED_OTHERWISE = "coveredOtherwise"
    """Something else than a pipeline with the task Microsoft Security DevOps covers it."""

    UNDECIDED = "undecided"
    """What could be read does not decide it."""

    MISSING = "missing"
    """Everything was read, and nothing scans it."""

    NOT_APPLICABLE = "notApplicable"
    """There is nothing that Defender for Cloud would scan: an empty or disabled repository, a fork, TFVC."""


class PipelineReason(StrEnum):
    """Why a repository has its state."""

    ARTIFACT_PUBLISHED = "ArtifactPublished"
    STEP_RAN = "StepRan"

    EXPANDED_YAML_HAS_TASK = "ExpandedYamlHasTask"
    FILE_HAS_TASK = "FileHasTask"
    DESIGNER_HAS_TASK = "DesignerHasTask"
    STEP_DID_NOT_RUN = "StepDidNotRun"

    AGENTLESS_SCANNING = "AgentlessScanning"
    ADVANCED_SECURITY = "AdvancedSecurity"
    ADVANCED_SECURITY_TASK = "AdvancedSecurityTask"
    DEFENDER_CLI_TASK = "DefenderCliTask"

    NOT_READ_YET = "NotReadYet"
    ACCESS_DENIED = "AccessDenied"
    SCOPE_MISSING = "ScopeMissing"
    SERVICE_UNAVAILABLE = "ServiceUnavailable"
    NEVER_BUILT = "NeverBuilt"
    BUILD_TOO_OLD = "BuildTooOld"
    LOG_EXPIRED = "LogExpired"
    TEMPLATES = "Templates"
    NOT_YAML = "NotYaml"
    TOO_LARGE = "TooLarge"
    PREVIEW_REJECTED = "PreviewRejected"
    SCANNED_ELSEWHERE = "ScannedElsewhere"
    EXTERNAL_YAML = "ExternalYaml"
    FEATURES_UNREAD = "FeaturesUnread"
    AGENTLESS_UNREAD = "AgentlessUnread"

    NO_PIPELINE = "NoPipeline"
    NO_ENABLED_PIPELINE = "NoEnabledPipeline"
    NO_TASK = "NoTask"

    EMPTY = "Empty"
    DISABLED = "Disabled"
    FORK = "Fork"
    TFVC = "Tfvc"


class PipelineReasonText(NamedTuple):
    """A reason for people.

    Attributes:
        state: the state that it belongs to.
        cause: what it means.
        fix: what to do; empty if nothing has to be done.
    """

    state: PipelineState
    cause: str
    fix: str = ""


_ADD_TASK: Final = "Add the task MicrosoftSecurityDevOps@1 to a pipeline that runs on the default branch."
_READ_ACCESS: Final = "Give the signed-in account the role Reader in the project, and Basic access."

PIPELINE_REASONS: Final[Mapping[PipelineReason, PipelineReasonText]] = {
    PipelineReason.ARTIFACT_PUBLISHED: PipelineReasonText(
        PipelineState.RAN,
        "The last completed build of the default branch published the artifact CodeAnalysisLogs, which Defender for "
        "Cloud takes in.",
    ),
    PipelineReason.STEP_RAN: PipelineReasonText(
        PipelineState.RAN,
        "The task ran in the last completed build of the default branch, but the build has no artifact "
        "CodeAnalysisLogs: it was not published, and Defender for Cloud gets no results, or it was deleted with the "
        "retention of builds.",
        "Remove the inputs publish: false and artifactName from the task, if it has them.",
    ),
    PipelineReason.EXPANDED_YAML_HAS_TASK: PipelineReasonText(
        PipelineState.CONFIGURED,
        "The YAML of the pipeline has the task, templates included, but its last completed build of the default branch "
        "does not show that it ran.",
        "Run the pipeline on the default branch, and check the conditions of the step, its job and its stage.",
    ),
    PipelineReason.FILE_HAS_TASK: PipelineReasonText(
        PipelineState.CONFIGURED,
        "The YAML file on the default branch has the task, and no build of the last 90 days shows that it ran.",
        "Run the pipeline on the default branch.",
    ),
    PipelineReason.DESIGNER_HAS_TASK: PipelineReasonText(
        PipelineState.CONFIGURED,
        "A designer pipeline has the task, but its last completed build of the default branch does not show that it "
        "ran.",
        "Run the pipeline on the default branch, and check that the step is enabled.",
    ),
    PipelineReason.STEP_DID_NOT_RUN: PipelineReasonText(
        PipelineState.CONFIGURED,
        "The step with the task was skipped, or failed without results, in the last completed build of the default "
        "branch.",
        "Open the build's log and correct the cause, or the condition of the step.",
    ),
    PipelineReason.AGENTLESS_SCANNING: PipelineReasonText(
        PipelineState.COVERED_OTHERWISE, "Agentless code scanning of the connector covers the repository."
    ),
    PipelineReason.ADVANCED_SECURITY: PipelineReasonText(
        PipelineState.COVERED_OTHERWISE,
        "GitHub Advanced Security for Azure DevOps scans the repository by a setting: secrets, code (CodeQL default "
        "setup) or dependencies.",
    ),
    PipelineReason.ADVANCED_SECURITY_TASK: PipelineReasonText(
        PipelineState.COVERED_OTHERWISE, "A pipeline has tasks of GitHub Advanced Security for Azure DevOps."
    ),
    PipelineReason.DEFENDER_CLI_TASK: PipelineReasonText(
        PipelineState.COVERED_OTHERWISE, "A pipeline has the task MicrosoftDefenderCLI, which scans container images."
    ),
    PipelineReason.NOT_READ_YET: PipelineReasonText(
        PipelineState.UNDECIDED,
        "The check has not read it yet: it sends a limited number of requests in each interval.",
        "Wait for the next check.",
    ),
    PipelineReason.ACCESS_DENIED: PipelineReasonText(
        PipelineState.UNDECIDED, "The signed-in account may not read the project's pipelines or builds.", _READ_ACCESS
    ),
    PipelineReason.SCOPE_MISSING: PipelineReasonText(
        PipelineState.UNDECIDED,
        "The operator's sign-in lacks an OAuth scope: vso.build for pipelines and builds, vso.code for repositories.",
        "Add the permission to the app registration, grant consent, and sign in again.",
    ),
    PipelineReason.SERVICE_UNAVAILABLE: PipelineReasonText(
        PipelineState.UNDECIDED,
        "Azure DevOps failed, or answered something else than what was requested.",
        "Wait for the next check.",
    ),
    PipelineReason.NEVER_BUILT: PipelineReasonText(
        PipelineState.UNDECIDED,
        "No pipeline of the repository has a completed build of the default branch, so nothing shows what it would "
        "run.",
        "Run the pipeline on the default branch.",
    ),
    PipelineReason.BUILD_TOO_OLD: PipelineReasonText(
        PipelineState.UNDECIDED,
        "The last completed build of the default branch is older than 90 days, and says nothing about today.",
        "Run the pipeline on the default branch.",
    ),
    PipelineReason.LOG_EXPIRED: PipelineReasonText(
        PipelineState.UNDECIDED,
        "The last completed build of the default branch published no scan, and its log, which has the YAML, was "
        "deleted with its retention.",
        "Run the pipeline on the default branch.",
    ),
    PipelineReason.TEMPLATES: PipelineReasonText(
        PipelineState.UNDECIDED,
        "The YAML file includes templates, which may bring the task, and no build shows the whole YAML.",
        "Run the pipeline on the default branch.",
    ),
    PipelineReason.NOT_YAML: PipelineReasonText(
        PipelineState.UNDECIDED,
        "The text that should be the pipeline's YAML cannot be parsed, or has no stages.",
        "Open the pipeline in Azure DevOps and validate it.",
    ),
    PipelineReason.TOO_LARGE: PipelineReasonText(
        PipelineState.UNDECIDED, "The pipeline's YAML is larger than the operator reads.", "Split the pipeline."
    ),
    PipelineReason.PREVIEW_REJECTED: PipelineReasonText(
        PipelineState.UNDECIDED,
        "Azure DevOps cannot expand the pipeline without a run: a parameter has no default, a resource is missing, or "
        "the YAML is wrong.",
        "Run the pipeline on the default branch.",
    ),
    PipelineReason.SCANNED_ELSEWHERE: PipelineReasonText(
        PipelineState.UNDECIDED,
        "A pipeline of another repository scans, and checks this one out or may do so. For which repository Defender "
        "for Cloud shows the results is not documented.",
        "Compare with the findings in Defender for Cloud, or add a pipeline to this repository.",
    ),
    PipelineReason.EXTERNAL_YAML: PipelineReasonText(
        PipelineState.UNDECIDED,
        "A pipeline of the project has its YAML outside Azure Repos, such as in GitHub, and may check this repository "
        "out. Its latest build does not show whether it scans.",
        "Run that pipeline, or add a pipeline to this repository.",
    ),
    PipelineReason.FEATURES_UNREAD: PipelineReasonText(
        PipelineState.UNDECIDED,
        "No pipeline scans the repository. GitHub Advanced Security may, but its settings could not be read.",
        "Add the permission vso.advsec to the app registration, grant consent, and sign in again. " + _ADD_TASK,
    ),
    PipelineReason.AGENTLESS_UNREAD: PipelineReasonText(
        PipelineState.UNDECIDED,
        "No pipeline scans the repository. Agentless code scanning may, but its configuration could not be read.",
        "See the condition Provisioned of the connector. " + _ADD_TASK,
    ),
    PipelineReason.NO_PIPELINE: PipelineReasonText(PipelineState.MISSING, "The repository has no pipeline.", _ADD_TASK),
    PipelineReason.NO_ENABLED_PIPELINE: PipelineReasonText(
        PipelineState.MISSING,
        "All pipelines of the repository that could scan it are disabled.",
        "Enable one of them. " + _ADD_TASK,
    ),
    PipelineReason.NO_TASK: PipelineReasonText(
        PipelineState.MISSING,
        "The last completed build of the default branch ran without the task, and published no artifact "
        "CodeAnalysisLogs.",
        _ADD_TASK,
    ),
    PipelineReason.EMPTY: PipelineReasonText(
        PipelineState.NOT_APPLICABLE, "The repository is empty: it has no default branch."
    ),
    PipelineReason.DISABLED: PipelineReasonText(PipelineState.NOT_APPLICABLE, "The repository is disabled."),
    PipelineReason.FORK: PipelineReasonText(PipelineState.NOT_APPLICABLE, "The repository is a fork."),
    PipelineReason.TFVC: PipelineReasonText(
        PipelineState.NOT_APPLICABLE, "The project has pipelines on TFVC, which Defender for Cloud does not cover."
    ),
}
"""State, cause and fix of each reason."""
