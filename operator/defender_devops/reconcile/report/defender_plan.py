"""The prerequisite DefenderPlan of a connector: features that need the plan Defender CSPM have it."""

from __future__ import annotations

from typing import Final

from defender_devops.api.conditions import truncate_message
from defender_devops.api.connector_status import Prerequisite
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.coverage import features_with_cspm_plan
from defender_devops.reconcile.report.condition_result import QUOTED_MAX

__all__ = ["DEFENDER_PLAN", "connector_prerequisites"]

DEFENDER_PLAN: Final = "DefenderPlan"


def connector_prerequisites(assessment: Assessment) -> tuple[Prerequisite, ...]:
    """Return the prerequisites of the connector as a whole; none while no feature needs the plan.

    Results that are unknown because the plan has not been read since the operator's start stay as they are.
    """
    features = _features(assessment)
    if not features:
        return ()
    plan, subscription = assessment.snapshot.cspm_plan, assessment.connector.spec.azure.subscription_id
    if plan is None:
        return assessment.connector.status.prerequisites or ()
    if plan.is_enabled:
        return (Prerequisite(check=DEFENDER_PLAN, status="True"),)
    if plan.is_enabled is None:
        detail = (
            truncate_message(plan.failure.message, QUOTED_MAX).rstrip(".") if plan.failure is not None else "no answer"
        )
        message = (
            f"{features} need the plan Defender CSPM, which could not be read: {detail}. Assign Security Reader on "
            f"subscription {subscription} to the operator's identity (Microsoft.Security/pricings/read)."
        )
        return (
            Prerequisite(
                check=DEFENDER_PLAN, status="Unknown", reason=Reason.DEFENDER_PLAN_UNREADABLE, message=message
            ),
        )
    message = (
        f"{features} need the plan Defender CSPM, which is off. Enable it (it is billed): az security pricing create "
        f"-n CloudPosture --tier standard --subscription {subscription}"
    )
    return (Prerequisite(check=DEFENDER_PLAN, status="False", reason=Reason.DEFENDER_PLAN_DISABLED, message=message),)


def _features(assessment: Assessment) -> str:
    """Return the enabled features that need the plan, as the subject of a sentence; empty without any."""
    features = features_with_cspm_plan(assessment)
    if features == ("agentless scanning",):
        return "Agentless scanning and its results"
    return " and ".join(features).capitalize()
