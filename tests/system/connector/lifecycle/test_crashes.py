"""kill -9 at every write to Azure or to Kubernetes: the same end, no write too many, the one-time code once at most."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import condition
from sandbox.cluster.credentials import kubeconfig
from sandbox.stack import Cloud, Operator
from tests.support.scenarios.azure_user import AzureUser
from tests.support.scenarios.crash_proxy import AZURE, KUBERNETES, CrashMoment, CrashPoint, CrashProxy
from tests.support.scenarios.scenario import ACCOUNT, KIND, ORGANIZATION, Scenario, message

TEAM, PERSON = "88888888-8888-8888-8888-888888888888", "44444444-4444-4444-4444-444444444444"
OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}
OUT_OF_SIGHT = ("adventure-works", "northwind", "wingtip-toys")
"""Organizations that the authorizing account is taken out of, so that a sweep is over in minutes."""

SMALL: dict[str, Any] = {
    "azure": {"tags": {"team": "blue"}},
    "pullRequestAnnotations": {"mode": "Enabled", "minimumSeverity": "Medium"},
    "securityReaders": [{"objectId": TEAM, "principalType": "Group"}],
}
LARGE: dict[str, Any] = {
    "organizations": {"mode": "AllAndFuture", "names": None, "exclude": ["fabrikam"]},
    "azure": {"tags": {"owner": "platform"}},
    "pullRequestAnnotations": {"mode": "Enabled", "minimumSeverity": "Medium"},
    "securityReaders": [{"objectId": PERSON, "principalType": "User"}],
}
NOTHING: dict[str, Any] = {
    "connectors": 0,
    "tags": {},
    "onboarded": set(),
    "annotated": {},
    "readers": set(),
    "ready": None,
    "remembered": None,
    "organizations": {},
}


@dataclass(frozen=True)
class Workload:
    """What a person asks for, and how it ends.

    Attributes:
        initial_spec: spec that is in place when it begins; None where there is no connector.
        spec: that is asked for; None asks for the connector's deletion.
        end: what there is in the end, as `snapshot` returns it.
        writes: effective writes to Azure on the way there, by operation.
        repeated: operations that may have their effect once more after a kill, and why that has to be.
    """

    initial_spec: dict[str, Any] | None
    spec: dict[str, Any] | None
    end: dict[str, Any]
    writes: dict[str, int]
    repeated: dict[str, str] = field(default_factory=dict)


SMALL_END: dict[str, Any] = {
    "connectors": 1,
    "tags": {"team": "blue"},
    "onboarded": {"contoso", "fabrikam"},
    "annotated": {"contoso": "Medium", "fabrikam": "Medium"},
    "readers": {TEAM},
    "ready": "Ready",
    "remembered": ({"team"}, "Selected", {TEAM}),
    "organizations": {"contoso-contoso": "Onboarded", "contoso-fabrikam": "Onboarded"},
}
LARGE_END: dict[str, Any] = {
    "connectors": 1,
    "tags": {"owner": "platform"},
    "onboarded": {"contoso", "tailspin"},
    "annotated": {"contoso": "Medium", "tailspin": "Medium"},
    "readers": {PERSON},
    "ready": "Ready",
    "remembered": ({"owner"}, "AllAndFuture", {PERSON}),
    "organizations": {
        "contoso-contoso": "Onboarded",
        "contoso-fabrikam": "Excluded",
        "contoso-tailspin": "Onboarded",
    },
}
WORKLOADS = {
    "create": Workload(
        None,
        SMALL,
        SMALL_END,
        {
            "SecurityConnectors_CreateOrUpdate": 1,
            "DevOpsConfigurations_CreateOrUpdate": 1,
            "RoleAssignments_CreateOrUpdate": 1,
            "AzureDevOpsOrgs_Update": 2,
        },
    ),
    "widen": Workload(
        SMALL,
        LARGE,
        LARGE_END,
        {
            "SecurityConnectors_Update": 1,
            "DevOpsConfigurations_Update": 1,
            "RoleAssignments_CreateOrUpdate": 1,
            "RoleAssignments_Delete": 1,
            "AzureDevOpsOrgs_Update": 1,
        },
    ),
    "narrow": Workload(
        LARGE,
        SMALL,
        SMALL_END,
        {
            "SecurityConnectors_Update": 1,
            "DevOpsConfigurations_Update": 1,
            "RoleAssignments_CreateOrUpdate": 1,
            "RoleAssignments_Delete": 1,
            "AzureDevOpsOrgs_Update": 1,
        },
    ),
    "delete": Workload(
        SMALL,
        None,
        NOTHING,
        {"RoleAssignments_Delete": 1, "SecurityConnectors_Delete": 1},
    ),
}


@dataclass
class Stage:
    """A scenario whose operator sends its requests through a crash proxy, and is restarted after each kill.

    Attributes:
        scene: namespace and cloud.
        proxy: between the operator and everything else.
        azure_user: another client of Azure.
        start: starts an operator that sends its requests through the proxy.
        operator: the one that runs.
        brought: a person has brought another code since the operator was killed.
    """

    scenario: Scenario
    proxy: CrashProxy
    azure_user: AzureUser
    start: Callable[[], Operator]
    operator: Operator
    brought: bool = False

    def kill(self) -> None:
        """End the operator as `kill -9` does."""
        os.kill(self.operator.process.pid, signal.SIGKILL)

    def restart(self) -> None:
        """Start an operator after the last one was killed."""
        assert self.operator.process.wait(10) == -signal.SIGKILL
        self.operator, self.brought = self.start(), False

    def clear(self) -> None:
        """Begin again, with an empty namespace and a cloud as it was."""
        self.proxy.set_crash_point(None)
        self.scenario.leave()
        self.scenario.control.reset()
        self.scenario.control.remove_access(ACCOUNT, *OUT_OF_SIGHT)

    def ask(self, spec: dict[str, Any] | None) -> None:
        """Bring a connector's manifest into the cluster, or take it out."""
        if spec is None:
            self.scenario.kube.delete(KIND, "contoso", self.scenario.namespace)
        else:
            self.scenario.apply(self.scenario.manifest(**spec))

    def snapshot(self) -> dict[str, Any]:
        """What there is in Azure and in the cluster, as far as it does not differ from one run to the next."""
        azure = self.scenario.in_azure()
        resource = self.scenario.kube.get(KIND, "contoso", self.scenario.namespace)
        resources = self.scenario.kube.list_all(ORGANIZATION, self.scenario.namespace)
        onboarded = self.scenario.onboarded()
        return {
            "connectors": len(self.scenario.control.world()["connectors"]),
            "tags": {name: value for name, value in azure["tags"].items() if name not in OWNER_TAGS} if azure else {},
            "onboarded": onboarded,
            "annotated": {name: self.azure_user.severity(name) for name in onboarded},
            "readers": self.azure_user.readers(),
            "ready": condition(resource, "Ready").get("reason") if resource else None,
            "remembered": recorded_in_status(resource["status"]) if resource else None,
            "organizations": {
                organization["metadata"]["name"]: condition(organization, "Ready").get("reason")
                for organization in resources
            },
        }

    def wait(self, end: dict[str, Any], *, or_else: Callable[[], bool] = lambda: False) -> bool:
        """Wait until all is as it should be at the end, or until something else happened; says whether it is.

        Where the operator asks for another code, a person brings one.
        """
        deadline = time.monotonic() + 60
        while not or_else():
            state = self.snapshot()
            if state == end:
                return True
            assert time.monotonic() < deadline, f"{state} is not {end}; writes: {self.proxy.writes}"
            self._bring_another_code_if_asked()
            time.sleep(0.2)
        return False

    def _bring_another_code_if_asked(self) -> None:
        """Between writing the code's hash down and sending it, a crash costs the code."""
        resource = self.scenario.kube.get(KIND, "contoso", self.scenario.namespace)
        if resource is not None and not self.brought and "sent before" in message(resource, "Authorized"):
            self.scenario.new_code()
            self.brought = True


def recorded_in_status(status: dict[str, Any]) -> tuple[set[str], str | None, set[str]]:
    """What status knows of the operator's own deeds: tags, the mode, readers."""
    azure = status.get("azure") or {}
    tags = {name for name in azure.get("managedTagKeys", []) if name not in OWNER_TAGS}
    return tags, azure.get("organizationsMode"), set(azure.get("securityReaders", []))


@pytest.fixture
def proxy(cluster: Cluster, shared_cloud: Cloud) -> Iterator[CrashProxy]:
    """Between the operator, and API server and Azure."""
    upstreams = {
        KUBERNETES: (cluster.server, cluster.ca),
        AZURE: (str(shared_cloud.endpoints["arm"]), shared_cloud.ca),
    }
    with CrashProxy(upstreams) as proxy:
        yield proxy


@pytest.fixture
def ways(proxy: CrashProxy, cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    """Variables that route an operator through the proxy."""
    access = tmp_path / "through-the-proxy.kubeconfig"
    access.write_text(kubeconfig(proxy.addresses[KUBERNETES], cluster.ca, token=cluster.admin_token))
    return {"KUBECONFIG": str(access), "DEFENDER_DEVOPS_ARM_ENDPOINT": proxy.addresses[AZURE]}


@pytest.fixture
def start(
    start_operator: Callable[..., Operator], shared_cloud: Cloud, own_settings: dict[str, str], ways: dict[str, str]
) -> Callable[[], Operator]:
    """Start an operator that sends its requests through the proxy."""
    return lambda: start_operator(shared_cloud, own_settings | ways)


@pytest.fixture
def stage(
    kube: KubernetesClient, shared_cloud: Cloud, namespace: str, proxy: CrashProxy, start: Callable[[], Operator]
) -> Iterator[Stage]:
    """The operator in a namespace of its own, with its proxy."""
    with ControlClient(shared_cloud.control) as control:
        control.reset()
        control.remove_access(ACCOUNT, *OUT_OF_SIGHT)
        with AzureUser.sign_in(shared_cloud) as azure_user:
            stage = Stage(Scenario(kube, control, namespace), proxy, azure_user, start, start())
            yield stage
            proxy.set_crash_point(None)
            stage.scenario.leave()


def begin(stage: Stage, workload: Workload) -> int:
    """Bring about what is there before, and the code; gives where the journal then stands."""
    stage.clear()
    stage.scenario.new_code()
    if workload.initial_spec is not None:
        stage.ask(workload.initial_spec)
        stage.wait(LARGE_END if workload.initial_spec is LARGE else SMALL_END)
    return stage.scenario.control.last()


def check(stage: Stage, workload: Workload, since: int, context: str) -> None:
    """Hold what was written to Azure against what has to be, and see that no code was sent twice."""
    writes = Counter(stage.scenario.writes(since))
    more = writes - Counter(workload.writes)
    assert Counter(workload.writes) - writes == Counter(), f"{context}: less was written: {writes}"
    assert more.keys() <= workload.repeated.keys(), f"{context}: more was written: {more}"
    assert all(number == 1 for number in more.values()), f"{context}: more than once more: {more}"
    sent_codes = [code for entry in stage.scenario.control.journal() for code in entry.get("codes", [])]
    assert len(sent_codes) == len(set(sent_codes)), f"{context}: a code was sent twice"


@pytest.mark.long
@pytest.mark.parametrize("moment", CrashMoment, ids=lambda moment: moment.value)
@pytest.mark.parametrize("name", WORKLOADS)
def test_an_operator_killed_at_any_write_ends_where_it_would_have(stage: Stage, name: str, moment: CrashMoment) -> None:
    workload = WORKLOADS[name]
    for number in itertools.count(1):
        since = begin(stage, workload)
        crash_point = CrashPoint(moment, stage.kill, number)
        stage.proxy.set_crash_point(crash_point)
        stage.ask(workload.spec)
        undisturbed = stage.wait(workload.end, or_else=crash_point.reached.is_set)
        context = f"{moment.value} write {number}, {stage.proxy.writes[-1]}"
        if not undisturbed:
            stage.restart()
            stage.wait(workload.end)
        check(stage, workload, since, context)
        if undisturbed:
            break
    assert number > sum(workload.writes.values()) + 1, f"not every write was met: {stage.proxy.writes}"


LIFE = (
    ("create", CrashMoment.AFTER_WRITE, r"azure: PUT .*securityConnectors/contoso$"),
    ("create", CrashMoment.BEFORE_WRITE, r"azure: PUT .*devops/default$"),
    ("widen", CrashMoment.BEFORE_WRITE, r"kubernetes: POST devopsorganizations$"),
    ("delete", CrashMoment.AFTER_WRITE, r"azure: DELETE .*securityConnectors/contoso$"),
)
"""Where an operator is killed in one life of a connector, in this order."""


@pytest.mark.long
def test_an_operator_killed_time_and_again_brings_a_connector_through_its_life(stage: Stage) -> None:
    stage.scenario.new_code()
    for name, kills in itertools.groupby(LIFE, key=lambda step: step[0]):
        workload, since = WORKLOADS[name], stage.scenario.control.last()
        traps = [CrashPoint(moment, stage.kill, pattern=pattern) for _, moment, pattern in kills]
        stage.proxy.set_crash_point(traps[0])
        stage.ask(workload.spec)
        for crash_point, following in itertools.zip_longest(traps, traps[1:]):
            assert not stage.wait(workload.end, or_else=crash_point.reached.is_set), (
                f"no {crash_point.pattern} on the way to {name}"
            )
            stage.proxy.set_crash_point(following)
            stage.restart()
        stage.wait(workload.end)
        check(stage, workload, since, name)


PLAIN_END: dict[str, Any] = {
    **SMALL_END,
    "tags": {},
    "annotated": {"contoso": None, "fabrikam": None},
    "readers": set(),
    "remembered": (set(), "Selected", set()),
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("wish", "pattern"),
    [
        ({"azure": {"tags": {"team": "blue"}}}, r"azure: PATCH .*securityConnectors/contoso$"),
        ({"securityReaders": [{"objectId": TEAM, "principalType": "Group"}]}, r"azure: PUT .*roleAssignments/"),
    ],
    ids=["a tag", "a reader"],
)
@pytest.mark.parametrize("next_spec", [{}, None], ids=["the wish is withdrawn", "the connector is deleted"])
def test_what_was_set_a_moment_before_a_crash_is_not_left_behind(
    stage: Stage, wish: dict[str, Any], pattern: str, next_spec: dict[str, Any] | None
) -> None:
    stage.scenario.new_code()
    stage.ask({})
    stage.wait(PLAIN_END)
    crash_point = CrashPoint(CrashMoment.AFTER_WRITE, stage.kill, pattern=pattern)
    stage.proxy.set_crash_point(crash_point)
    stage.ask(wish)
    assert not stage.wait(NOTHING, or_else=crash_point.reached.is_set)
    stage.ask(next_spec)
    stage.restart()
    stage.wait(NOTHING if next_spec is None else PLAIN_END)
