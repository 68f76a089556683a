"""What the kit prints: a table with a part for each verdict, and the plan."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from acceptance.checks import Cost, Probe
from acceptance.printing import print_plan, print_report
from tests.support.tenant_in_memory import TenantInMemory


def console(width: int) -> tuple[Console, io.StringIO]:
    """Return a console of some columns, and what is printed to it."""
    output = io.StringIO()
    return Console(file=output, width=width), output


@pytest.mark.parametrize("width", [80, 120])
async def test_what_differs_is_at_the_end_of_the_table(width: int) -> None:
    tenant = TenantInMemory({"capabilities": "several"})
    result = await tenant.run()
    screen, output = console(width)
    print_report(screen, result.report)
    text = output.getvalue()
    counts = result.report.counts()
    titles = [f"{verdict}: {counts[verdict]}" for verdict in ("agrees", "could not tell", "differs")]
    assert [line.strip() for line in text.splitlines() if line.strip() in titles] == titles
    (line,) = [line for line in text.partition(titles[-1])[2].splitlines() if "capabilities" in line]
    assert line.split()[:3] == ["capabilities", "one", "several"]
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Cost(reads=1, writes=1, queries=1, azure_devops=1), "1 read, 1 request that counts as a write"),
        (Cost(reads=2, writes=2, queries=2, azure_devops=2), "2 reads, 2 requests that count as writes"),
        (Cost(queries=1, azure_devops=1), "1 Resource Graph query, 1 request to Azure DevOps"),
        (Cost(queries=2, azure_devops=2), "2 Resource Graph queries, 2 requests to Azure DevOps"),
    ],
)
def test_the_plan_counts_in_words(cost: Cost, text: str) -> None:
    screen, output = console(400)
    print_plan(screen, [Probe("one", "something", cost, ())], target="somewhere")
    assert f"In all at most {text}" in output.getvalue()
