"""Whether pull request annotations that are enabled can appear: everything that they need besides the setting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from defender_devops.reconcile.facts.pipeline_results import AnnotationsEvidence

__all__ = ["AnnotationsEffect", "AnnotationsReason", "annotations_effective"]


class AnnotationsReason(StrEnum):
    """Why annotations are effective, or the first thing that they lack."""

    EFFECTIVE = "AnnotationsEffective"
    PLAN_DISABLED = "DefenderPlanDisabled"
    DISABLED = "AnnotationsDisabled"
    POLICY_MISSING = "BuildPolicyMissing"
    TASK_MISSING = "TaskMissing"
    NOT_CHECKED = "NotChecked"


@dataclass(frozen=True, slots=True)
class AnnotationsEffect:
    """Whether annotations can appear in an organization.

    Attributes:
        is_effective: None if it could not be determined.
        message: what is missing, and the step that fixes it; or in how many repositories they are effective.
    """

    is_effective: bool | None
    reason: AnnotationsReason
    message: str


def annotations_effective(
    plan: bool | None, state_in_defender: bool | None, evidence: AnnotationsEvidence | None
) -> AnnotationsEffect:
    """Return whether annotations can appear; if not, the first thing that they lack, in the order of the setup.

    Args:
        plan: whether the plan Defender CSPM is enabled; None if it was not read.
        state_in_defender: whether Defender for Cloud has annotations enabled; None if it was not read.
        evidence: of Azure DevOps; None if it was not read.
    """
    if plan is False:
        message = (
            "Pull request annotations need the plan Defender CSPM, which is off for the subscription. Enable it in "
            "Defender for Cloud under Environment settings, in the plans of the subscription."
        )
        return AnnotationsEffect(False, AnnotationsReason.PLAN_DISABLED, message)
    if state_in_defender is False:
        message = (
            "Defender for Cloud has pull request annotations disabled for the organization. Set "
            "spec.pullRequestAnnotations.mode to Enabled."
        )
        return AnnotationsEffect(False, AnnotationsReason.DISABLED, message)
    if evidence is not None and evidence.is_complete and not evidence.effective:
        return _not_effective(evidence)
    if plan is None or state_in_defender is None or evidence is None or not evidence.effective:
        unread = (
            "the plan Defender CSPM"
            if plan is None
            else "the state in Defender for Cloud"
            if state_in_defender is None
            else "all pipelines and branch policies of the organization"
        )
        message = f"It could not be determined, because {unread} could not be read."
        return AnnotationsEffect(None, AnnotationsReason.NOT_CHECKED, message)
    message = f"Annotations can appear in {_repositories(evidence.effective)}."
    if evidence.without_policy_number:
        message += (
            f" {_repositories(evidence.without_policy_number)} with the task have no build validation policy on the "
            f"default branch, such as {', '.join(evidence.without_policy[:3])}."
        )
    return AnnotationsEffect(True, AnnotationsReason.EFFECTIVE, message)


def _not_effective(evidence: AnnotationsEvidence) -> AnnotationsEffect:
    """Return what Azure DevOps lacks, where everything was read and no repository has it all."""
    if evidence.without_policy_number or not evidence.without_task:
        examples = f", such as {', '.join(evidence.without_policy[:3])}" if evidence.without_policy else ""
        message = (
            "No default branch has a build validation policy with a pipeline that has the task "
            f"MicrosoftSecurityDevOps@1. Add one to the repositories with the task{examples}: in Azure DevOps, project "
            "settings, Repositories, Policies, Build Validation."
        )
        return AnnotationsEffect(False, AnnotationsReason.POLICY_MISSING, message)
    message = (
        f"{_repositories(evidence.without_task)} have a build validation policy on the default branch, but none of its "
        "pipelines has the task MicrosoftSecurityDevOps@1. Add the task to such a pipeline."
    )
    return AnnotationsEffect(False, AnnotationsReason.TASK_MISSING, message)


def _repositories(number: int) -> str:
    return f"{number} repository" if number == 1 else f"{number} repositories"
