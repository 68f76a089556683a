"""States of repositories as a table, as CSV, and as a document for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Any, Final

from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineReason, PipelineState
from defender_devops.cli.display.formatting import table_text
from defender_devops.cli.output import Format, Line, ListFormat, console, csv_text, print_document, print_lines
from defender_devops.cli.pipelines.evidence import OrganizationPipelines
from defender_devops.cluster.kubernetes_yaml import dump_yaml
from defender_devops.reconcile.facts.pipelines import RepositoryAssessment

__all__ = ["document", "print_pipelines", "snippet"]

_TABLE_HEADER: Final = ("REPOSITORY", "STATE", "REASON", "RESULTS", "EVIDENCE")

_STEP: Final = {"task": "MicrosoftSecurityDevOps@1", "displayName": "Microsoft Security DevOps"}

_CSV_NAMES: Final = (
    "connector",
    "organization",
    "project",
    "repository",
    "state",
    "reason",
    "results",
    "pipeline",
    "buildId",
    "file",
    "cause",
    "fix",
)


def print_pipelines(results: Sequence[OrganizationPipelines], output: ListFormat) -> None:
    """Print the states of the repositories of all organizations."""
    if output is ListFormat.CSV:
        rows = (_fields(item, assessment) for item in results for assessment in item.assessments)
        sys.stdout.write(csv_text(_CSV_NAMES, rows))
    elif output is ListFormat.TABLE:
        _print_table(results)
    else:
        print_document(document(results), Format(output))


def document(results: Sequence[OrganizationPipelines]) -> dict[str, Any]:
    """Return repositories and organizations for JSON and YAML. Fields without a value are absent."""
    return {
        "repositories": [_entry(item, assessment) for item in results for assessment in item.assessments],
        "organizations": [
            _without_empty(
                {
                    "connector": item.connector,
                    "organization": item.organization,
                    "repositories": {state.value: number for state, number in item.counts.items()},
                    "ranWithoutResults": item.without_results.number,
                    "extension": item.extension.value if item.failure is None else None,
                    "checkedAt": item.checked_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    if item.checked_at
                    else None,
                    "error": item.failure.message if item.failure is not None else None,
                }
            )
            for item in results
        ],
    }


def snippet(reason: PipelineReason, branch: str | None) -> str | None:
    """Return the YAML that scans a repository, ready to paste; None if it has to do nothing with YAML.

    Args:
        reason: why the repository is not scanned.
        branch: full name of its default branch.
    """
    if PIPELINE_REASONS[reason].state is not PipelineState.MISSING:
        return None
    if reason is not PipelineReason.NO_PIPELINE:
        return dump_yaml({"steps": [_STEP]})
    name = (branch or "refs/heads/main").removeprefix("refs/heads/")
    return dump_yaml({"trigger": [name], "pool": {"vmImage": "ubuntu-latest"}, "steps": [_STEP]})


def _entry(item: OrganizationPipelines, assessment: RepositoryAssessment) -> dict[str, Any]:
    entry: dict[str, Any] = dict(_fields(item, assessment))
    branch = item.branches.get((assessment.project, assessment.repository))
    ids = {"pipelineId": assessment.pipeline_id, "buildId": assessment.build_id}
    return _without_empty({**entry, **ids, "snippet": snippet(assessment.reason, branch)})


def _fields(item: OrganizationPipelines, assessment: RepositoryAssessment) -> dict[str, str]:
    text = PIPELINE_REASONS[assessment.reason]
    return {
        "connector": item.connector,
        "organization": item.organization,
        "project": assessment.project,
        "repository": assessment.repository,
        "state": assessment.state.value,
        "reason": assessment.reason.value,
        "results": item.results(assessment),
        "pipeline": assessment.pipeline or "",
        "buildId": str(assessment.build_id or ""),
        "file": assessment.file or "",
        "cause": text.cause,
        "fix": text.fix,
    }


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _print_table(results: Sequence[OrganizationPipelines]) -> None:
    """Print a line for each repository, and then once for each reason what to do."""
    rows = [_row(item, assessment) for item in results for assessment in item.assessments]
    if not rows:
        return
    screen = console()
    head, *lines = table_text([_TABLE_HEADER, *rows], screen.width if screen.is_terminal else None)
    print_lines([Line(head, style="bold"), *map(Line, lines)])
    print_lines(_explanations([assessment.reason for item in results for assessment in item.assessments]))


def _row(item: OrganizationPipelines, assessment: RepositoryAssessment) -> tuple[str, ...]:
    evidence = [
        f"pipeline {assessment.pipeline}" if assessment.pipeline else "",
        f"build {assessment.build_id}" if assessment.build_id else "",
        assessment.file or "",
    ]
    place = f"{item.organization}/{assessment.full_name}"
    return place, assessment.state, assessment.reason, item.results(assessment), ", ".join(filter(None, evidence))


def _explanations(reasons: Iterable[PipelineReason]) -> Iterable[Line]:
    present = set(reasons)
    to_fix = [reason for reason in PipelineReason if reason in present and PIPELINE_REASONS[reason].fix]
    for reason in to_fix:
        yield Line("")
        yield Line(f"{reason}: {PIPELINE_REASONS[reason].cause}", style="bold")
        yield Line(PIPELINE_REASONS[reason].fix, indent=2)
    missing = [reason for reason in to_fix if PIPELINE_REASONS[reason].state is PipelineState.MISSING]
    if missing:
        reason = PipelineReason.NO_PIPELINE if PipelineReason.NO_PIPELINE in missing else missing[0]
        yield Line("")
        yield Line("A pipeline with the task:" if reason is PipelineReason.NO_PIPELINE else "The step to add:")
        for line in (snippet(reason, None) or "").splitlines():
            yield Line(line, indent=2)
