"""Small faults that are put into a copy of the operator, to show that the plans find faults of their kind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.plans.draw import draw_plans
from tests.faults.plans.plan import Plan

__all__ = ["MUTATIONS", "Mutation"]

_MOST_DRAWN: Final = 100_000
_OPERATOR: Final = Path(__file__).parents[2] / "operator" / "defender_devops"


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Attributes:
        name: what is wrong.
        file: path below `operator/defender_devops`.
        text: what is replaced; it occurs once.
        replacement: what is there instead.
        kinds: kinds of plans that are expected to find it.
        pattern: regular expression for the JSON of the plans that are executed.
    """

    name: str
    file: str
    text: str
    replacement: str
    kinds: tuple[str, ...]
    pattern: str = ""

    def mutated_source(self) -> str:
        """Return the module with the fault.

        Raises:
            ValueError: the text does not occur exactly once: the mutation has to follow the operator.
        """
        source = (_OPERATOR / self.file).read_text(encoding="utf-8")
        if source.count(self.text) != 1:
            raise ValueError(f"{self.name}: {self.file} has the text {source.count(self.text)} times; adapt MUTATIONS")
        return source.replace(self.text, self.replacement)

    def write_operator(self, folder: Path) -> Path:
        """Write a copy of the operator with the fault; return the folder for PYTHONPATH."""
        shutil.copytree(_OPERATOR, folder / "defender_devops", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "defender_devops" / self.file).write_text(self.mutated_source(), encoding="utf-8")
        return folder

    def plans(self, seed: int, count: int) -> list[Plan]:
        """Return the first plans that are expected to find it."""
        return list(self._matching_plans(seed, count))

    def _matching_plans(self, seed: int, count: int) -> Iterator[Plan]:
        for plan in draw_plans(seed, _MOST_DRAWN, self.kinds):
            if re.search(self.pattern, plan.as_json()):
                yield plan
                count -= 1
            if count == 0:
                return


MUTATIONS: Final = (
    Mutation(
        "the hash of a code is written after the code was sent",
        "reconcile/plan/diff.py",
        """    yield RecordCodeHash(digest, assessment.snapshot.code.account)
    yield Authorize(
        auto_discovery=choice.auto_discovery,
        organizations=choice.organizations,
        agentless=assessment.desired.agentless or unmanaged_agentless,
        sha256=digest,
    )
""",
        """    yield Authorize(
        auto_discovery=choice.auto_discovery,
        organizations=choice.organizations,
        agentless=assessment.desired.agentless or unmanaged_agentless,
        sha256=digest,
    )
    yield RecordCodeHash(digest, assessment.snapshot.code.account)
""",
        ("half-done",),
        r'"reach"\}, \{"do": "rule", "server": "azure", "action": "kill after", "writes": true\}, \{"do": "code"',
    ),
    Mutation(
        "writes are not fenced by the lease",
        "azure/arm/client.py",
        "                self._session.fence()\n",
        "                pass\n",
        ("frozen",),
    ),
    Mutation(
        "an organization is deleted without the resourceVersion that was seen",
        "cluster/organizations.py",
        '{"uid": uid, "resourceVersion": resource_version}',
        '{"uid": uid}',
        ("stale",),
        '"contoso-fabrikam"',
    ),
    Mutation(
        "objects that were deleted while not watched stay in the cache",
        "reconcile/cache/resync.py",
        "            await self.resync()\n",
        "            await asyncio.sleep(0)\n",
        ("unseen",),
        "DELETED (tailspin|northwind)",
    ),
    Mutation(
        "the name of a role assignment is random",
        "reconcile/plan/security_readers.py",
        "            name = reader_assignment_name(",
        "            name = str(uuid.uuid4()) or reader_assignment_name(",
        ("unseen", "half-done"),
        "securityReaders",
    ),
    Mutation(
        "tags are not recorded before they are set",
        "reconcile/plan/diff.py",
        "        yield RecordManagedTags(tuple(keys))\n",
        "        yield from ()\n",
        ("half-done",),
        r'"azure", "action": "kill after".*"calm"',
    ),
    Mutation(
        "a code is sent again after a lost answer",
        "azure/resources/security_connectors.py",
        "RetryPolicy.NEVER",
        "RetryPolicy.ALWAYS",
        ("sick-cloud", "half-done"),
        r'"(reset|answer) after".*(PUT|writes)',
    ),
    Mutation(
        "an answer without a list counts as an empty list",
        "azure/arm/client.py",
        "        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):\n",
        "        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):\n"
        "            return []\n"
        "        if not value and self.status < 0:\n",
        ("sick-cloud",),
        # What Azure may return late is not written twice; a deletion leaves the assignments that it believes missing.
        r'securityReaders.*/roleAssignments"[^}]*(without e|null e|object for e|empty object).*"delete"',
    ),
    Mutation(
        "a link to another host is followed",
        "azure/arm/client.py",
        "        if not is_at_origin:\n            raise AzureUnavailable(\n",
        "        if not is_at_origin:\n            return link\n            raise AzureUnavailable(\n",
        ("sick-cloud",),
        r"azureDevOpsOrgs\[[^}]*foreign link",
    ),
    Mutation(
        "the finalizer is removed before the connector is deleted in Azure",
        "reconcile/plan/deletion.py",
        "        return (*removals, DeleteConnector(connector.id), RemoveFinalizer())\n",
        "        return (RemoveFinalizer(), *removals, DeleteConnector(connector.id))\n",
        ("half-done",),
        '"delete"',
    ),
)
"""The mutation check: each is found by some plan."""
