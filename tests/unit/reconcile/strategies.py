"""Worlds and specs for properties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml
from hypothesis import strategies as st

from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile.facts.snapshot import AuthorizationCode
from tests.unit.reconcile.azure_model import Azure
from tests.unit.reconcile.builder import NOW, resource, snapshot

NAMES = ("contoso", "fabrikam", "tailspin", "Wingtip")
READERS = ("44444444-4444-4444-4444-444444444444", "55555555-5555-5555-5555-555555555555")
CODES = ("c" * 64, "d" * 64, "e" * 64)


@dataclass(frozen=True)
class Wish:
    """What users ask for at one time.

    Attributes:
        spec: of the connector.
        declared: specs of the DevOpsOrganizations that they declare, by organization.
        code: hash of the one-time code that lies in the Secret.
    """

    spec: Mapping[str, Any]
    declared: Mapping[str, Mapping[str, Any]]
    code: str | None

    def apply(self, azure: Azure) -> None:
        """Edit the resources; what the operator generated stays, and so does status."""
        connector = azure.world.connector
        fresh = snapshot(yaml.safe_dump({"spec": dict(self.spec)})).connector
        generation = connector.metadata.generation + 1
        azure.world = replace(
            azure.world,
            connector=connector.model_copy(
                update={
                    "spec": fresh.spec,
                    "metadata": connector.metadata.model_copy(update={"generation": generation}),
                }
            ),
            organizations=tuple(self._organizations(azure.world.organizations)),
            code=AuthorizationCode(self.code),
        )

    def _organizations(self, present: tuple[DevOpsOrganization, ...]) -> list[DevOpsOrganization]:
        before = {each.spec.organization: each for each in present if not each.is_generated}
        made = []
        for organization, spec in self.declared.items():
            new = resource(organization, {"name": f"declared-{organization.lower()}", **spec})
            old = before.get(organization)
            made.append(new if old is None else old.model_copy(update={"spec": new.spec}))
        return [*(each for each in present if each.is_generated), *made]


_NAME_LISTS = st.lists(st.sampled_from(NAMES), unique=True, max_size=3)
_MODES = st.one_of(
    st.fixed_dictionaries({"mode": st.just("Selected"), "names": _NAME_LISTS}),
    st.fixed_dictionaries({"mode": st.sampled_from(["All", "AllAndFuture"]), "exclude": _NAME_LISTS}),
)
_ANNOTATIONS = st.one_of(
    st.just({"mode": "Disabled"}),
    st.fixed_dictionaries({"mode": st.just("Enabled"), "minimumSeverity": st.sampled_from(["High", "Low"])}),
)
_SCANNING = st.fixed_dictionaries(
    {"mode": st.sampled_from(["Enabled", "Disabled"]), "scanners": st.sampled_from([["gitleaks"], ["bandit"]])}
)
_TAGS = st.dictionaries(st.sampled_from(["team", "costs"]), st.sampled_from(["red", "blue"]))
_READERS = st.lists(
    st.fixed_dictionaries({"objectId": st.sampled_from(READERS), "principalType": st.just("Group")}),
    unique_by=lambda each: each["objectId"],
)
_AUTHORIZATIONS = st.sampled_from(
    [
        {"method": "Adopt"},
        {"method": "Code", "codeSecretRef": {"name": "defender-code", "key": "code"}},
    ]
)
SPECS = st.fixed_dictionaries(
    {
        "organizations": _MODES,
        "azure": st.fixed_dictionaries({"tags": _TAGS}),
        "pullRequestAnnotations": _ANNOTATIONS,
        "agentlessScanning": _SCANNING,
        "securityReaders": _READERS,
        "authorization": _AUTHORIZATIONS,
    }
)
DECISIONS = st.dictionaries(
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {"onboarding": st.sampled_from(["Onboarded", "Excluded", "Inherit"])},
        optional={"pullRequestAnnotations": _ANNOTATIONS},
    ),
    max_size=3,
)
WISHES = st.builds(Wish, SPECS, DECISIONS, st.sampled_from([None, *CODES]))
VISIBLE = st.dictionaries(st.sampled_from(NAMES[:3]), st.booleans())
"""Organizations and whether another connector holds them; Wingtip is never there."""


@st.composite
def clusters(draw: st.DrawFn) -> Azure:
    """An Azure with or without a connector, and a resource that nobody has looked at."""
    visible = draw(VISIBLE)
    exists = draw(st.booleans())
    readers = draw(st.dictionaries(st.sampled_from(READERS), st.just("theirs")))
    held = (
        draw(st.sets(st.sampled_from(sorted(name for name, taken in visible.items() if not taken))))
        if any(not taken for taken in visible.values())
        else set()
    )
    azure = {
        "owner": draw(st.sampled_from(["nobody", "dead"])),
        "tags": draw(st.dictionaries(st.sampled_from(["env", "Zone"]), st.just("x"))),
        "configuration": {"autoDiscovery": draw(st.sampled_from(["Enabled", "Disabled"]))},
        "readers": readers,
        "organizations": {"contoso": None, "fabrikam": None} | dict.fromkeys(sorted(held), "Onboarded"),
        "others": {name: "Held" if taken else "Free" for name, taken in visible.items() if name not in held},
    }
    world = snapshot(yaml.safe_dump({"status": None, "resources": None, "azure": azure if exists else None}))
    return Azure(world, visible, NOW)
