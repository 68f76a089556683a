"""What the states of repositories amount to, and what keeps the list from being complete, as sentences. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from defender_devops.api.pipelines.evidence import ExtensionState
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.cli.display.formatting import ERROR, duration_text, merged_notes, pipelines_text
from defender_devops.cli.pipelines.evidence import OrganizationPipelines

__all__ = ["all_notes", "summary"]

_EXTENSION_NOTES: Final = {
    ExtensionState.MISSING: "the extension Microsoft Security DevOps is not installed, so pipelines with its task "
    "fail. Install it from https://marketplace.visualstudio.com/items?itemName=ms-securitydevops."
    "microsoft-security-devops-azdevops",
    ExtensionState.DISABLED: "the extension Microsoft Security DevOps is disabled, so pipelines with its task fail. "
    "Enable it in the organization's settings under Extensions.",
}


def summary(results: Iterable[OrganizationPipelines]) -> str:
    """Return how many repositories are not scanned, among how many."""
    counts: Counter[PipelineState] = Counter()
    for item in results:
        counts.update(item.counts)
    text = pipelines_text(counts)
    return f"{text[0].upper()}{text[1:]}."


def all_notes(results: Iterable[OrganizationPipelines], now: datetime) -> Iterator[str]:
    """Yield what else concerns the list; each begins with the names of the organizations that it concerns."""
    return merged_notes((item.key, text) for item in results for text in _notes(item, now))


def _notes(item: OrganizationPipelines, now: datetime) -> Iterator[str]:
    if item.failure is not None:
        yield f"{ERROR}{item.failure.message}"
        return
    if item.checked_at is None:
        yield "the first check is under way, so the list is not complete."
    elif not item.is_complete:
        yield (
            f"checked {duration_text(now - item.checked_at)} ago, and not everything could be read within the limit of "
            "one check. The next ones go on."
        )
    if item.extension in _EXTENSION_NOTES:
        yield _EXTENSION_NOTES[item.extension]
    without_results = item.without_results
    if without_results.number:
        yield (
            f"scans of {without_results.number} ran more than 48 hours ago, and Defender for Cloud shows nothing of "
            "them (RESULTS none). Check that the build publishes the artifact CodeAnalysisLogs, and Defender's "
            "authorization."
        )
    elif without_results.problem and item.counts.get(PipelineState.RAN):
        yield f"whether Defender for Cloud shows the results of scans is not known. {without_results.problem}"
