"""The result as JSON and Markdown: the table, the proposed marks, the flags for the simulated cloud."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from acceptance.behaviours import Behaviour
from acceptance.checks import Verdict
from acceptance.invisible import INVISIBLE, INVISIBLE_VARIANTS
from acceptance.recording.redaction import Redactor
from acceptance.running import Row
from acceptance.session.answer import Exchange
from sandbox.cloud.variants import VARIANTS

__all__ = ["Report", "proposed_mark", "variant_flags"]

_INFERRED = re.compile(r"\bI\b")


def variant_flags(rows: Sequence[Row]) -> list[str]:
    """Return the options with which the simulated cloud behaves as observed, as far as it has such a variant."""
    return [
        f"--variant {row.variant}={row.possible_values[0]}"
        for row in rows
        if row.verdict is Verdict.DIFFERS and row.variant and row.possible_values[0] in VARIANTS[row.variant].values
    ]


def proposed_mark(behaviour: Behaviour, rows: Sequence[Row], date: str) -> str | None:
    """Return the mark that docs/sandbox.md should have for a behaviour; None where it stays.

    Args:
        behaviour: the row of the page.
        rows: results of the checks of this behaviour.
        date: day of the run.
    """
    conclusive = [row for row in rows if row.verdict is not Verdict.UNKNOWN]
    differing = [row for row in conclusive if row.verdict is Verdict.DIFFERS]
    if differing:
        values = "; ".join(f"`{row.variant}={row.observed}`" if row.variant else row.evidence for row in differing)
        return f"O {date}: {values}"
    if not conclusive or not _INFERRED.search(behaviour.mark):
        return None
    if len(conclusive) < len(rows):
        return f"O {date} in part: {', '.join(f'`{row.key}`' if row.variant else row.evidence for row in conclusive)}"
    return f"O {date}"


@dataclass(frozen=True)
class Report:
    """The result of a run, redacted.

    Attributes:
        rows: results of all checks.
        exchanges: the conversation, for the number of requests.
        redactor: knows all names of the tenant.
        moment: time of the run.
    """

    rows: Sequence[Row]
    exchanges: Sequence[Exchange]
    redactor: Redactor
    moment: datetime

    def requests(self) -> dict[str, int]:
        """Return the number of requests by service."""
        return dict(sorted(Counter(exchange.service for exchange in self.exchanges).items()))

    def counts(self) -> dict[str, int]:
        """Return the number of results by verdict."""
        counts = Counter(row.verdict for row in self.rows)
        return {verdict.value: counts[verdict] for verdict in Verdict}

    def marks(self) -> list[dict[str, str]]:
        """Return the proposed marks."""
        behaviours = dict.fromkeys(row.behaviour for row in self.rows)
        date = self.moment.date().isoformat()
        proposals = []
        for behaviour in behaviours:
            mark = proposed_mark(behaviour, [row for row in self.rows if row.behaviour == behaviour], date)
            if mark is not None:
                proposals.append(
                    {
                        "behaviour": behaviour.text,
                        "mark": behaviour.mark,
                        "proposed": self.redactor.evidence(mark),
                    }
                )
        return proposals

    def table(self) -> list[dict[str, str]]:
        """Return the rows of the table."""
        return [
            {
                "probe": row.probe,
                "behaviour": row.behaviour.text,
                "mark": row.behaviour.mark,
                "variant": row.variant,
                "assumed": row.assumed,
                "observed": self.redactor.evidence(row.observed),
                "verdict": row.verdict.value,
                "evidence": self.redactor.evidence(row.evidence),
            }
            for row in self.rows
        ]

    def document(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "format": 1,
            "date": self.moment.date().isoformat(),
            "requests": self.requests(),
            "verdicts": self.counts(),
            "table": self.table(),
            "proposedMarks": self.marks(),
            "variantFlags": variant_flags(self.rows),
            "notObservable": INVISIBLE,
            "variantsNotObservable": INVISIBLE_VARIANTS,
        }

    def markdown(self) -> str:
        """Return the same as a page."""
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts().items())
        requests = ", ".join(f"{service} {count}" for service, count in self.requests().items())
        lines = [
            f"# Acceptance of {self.moment.date().isoformat()}",
            "",
            f"{counts}. Requests: {requests}.",
            "",
            "| behaviour | assumed | observed | verdict | evidence |",
            "|---|---|---|---|---|",
        ]
        for row in self.table():
            name = f"`{row['variant']}`: {row['behaviour']}" if row["variant"] else row["behaviour"]
            cells = (name, row["assumed"], row["observed"] or "-", row["verdict"], row["evidence"])
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        lines += ["", "## Proposed marks for docs/sandbox.md", ""]
        lines += [
            f"- {_cell(item['behaviour'])}: {_cell(item['mark'])} → {_cell(item['proposed'])}" for item in self.marks()
        ] or ["None."]
        lines += ["", "## The simulated cloud as observed", ""]
        flags = variant_flags(self.rows)
        command = " ".join(["python -m sandbox.cloud", *flags])
        lines += [f"```sh\n{command}\n```" if flags else "As it is by default."]
        lines += ["", "## Not observable from outside", ""]
        lines += [f"- {_cell(behaviour)}…: {reason}" for behaviour, reason in INVISIBLE.items()]
        lines += [f"- `{variant}`: {reason}" for variant, reason in INVISIBLE_VARIANTS.items()]
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
