"""Two replicas at work, the leader killed again and again in the middle of its writes: none is made twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from itertools import count
from pathlib import Path

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scenarios.quick import QUICK, watching
from tests.support.scenarios.replicas import Replicas, is_leader, wait_until
from tests.support.scenarios.scenario import ACCOUNT, GROUP, KIND, TENANT, Scenario

KILLS = 20
CONNECTORS = 12
PATIENCE = 120.0
"""Seconds for what takes some on a quiet machine."""

pytestmark = pytest.mark.long


class Load:
    """Connectors that are made, edited, deleted and made anew all the time.

    Attributes:
        scene: where they are.
        edits: how often the tags of each were set.
        current: name of the connector that holds each organization now.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.edits = Counter[str]()
        self.current: dict[str, str] = {}
        self._numbers = count()
        members = [{"account": ACCOUNT, "administrator": True}]
        for number in range(CONNECTORS):
            name = f"load-{number}"
            scenario.control.add_organization(name=name, tenant=TENANT, members=members, projects=[{"name": "first"}])
            self.make(name)

    def make(self, organization: str) -> None:
        """A connector for an organization, with a one-time code of its own."""
        name = f"{organization}-{next(self._numbers)}"
        self.current[organization] = name
        self.scenario.new_code(name)
        self._apply(name, organization)

    def edit_all(self) -> None:
        """Set other tags on every connector."""
        for organization, name in self.current.items():
            self.edits[name] += 1
            self._apply(name, organization)

    def replace(self, organization: str) -> None:
        """Delete the connector of an organization, and make another as soon as it is gone."""
        name = self.current[organization]
        self.scenario.kube.delete(KIND, name, self.scenario.namespace)
        self.scenario.kube.wait_deleted(KIND, name, self.scenario.namespace, timeout=PATIENCE)
        self.make(organization)

    def settle(self) -> None:
        """Wait until all are Ready with their last tags; bring another code where one is asked for."""
        deadline = time.monotonic() + PATIENCE
        while unsettled := [name for name in self.current.values() if not self._settled(name)]:
            assert time.monotonic() < deadline, unsettled
            time.sleep(0.5)

    def _settled(self, name: str) -> bool:
        body = self.scenario.connector(name)
        if "sent before" in condition(body, "Authorized").get("message", ""):
            # Killed between writing the code's hash down and sending it: that code is never sent.
            self.scenario.new_code(name)
        return bool(
            body["status"]["observedGeneration"] == body["metadata"]["generation"]
            and condition(body, "Ready").get("status") == "True"
        )

    def _apply(self, name: str, organization: str) -> None:
        organizations = {"mode": "Selected", "names": [organization]}
        authorization = {"codeSecretRef": {"name": name, "key": "code"}}
        tags = {"edit": str(self.edits[name])}
        self.scenario.apply(
            self.scenario.manifest(name, azure={"tags": tags}, organizations=organizations, authorization=authorization)
        )


@pytest.fixture
def cloud(start_cloud: Callable[..., Cloud]) -> Cloud:
    """One whose operations take little of the time between two kills."""
    return start_cloud("--speed", "360")


@pytest.fixture
def scenario(kube: KubernetesClient, cloud: Cloud, namespace: str) -> Iterator[Scenario]:
    with ControlClient(cloud.control) as control:
        scenario = Scenario(kube, control, namespace)
        yield scenario
        for body in kube.list_all(KIND, namespace):
            kube.patch(KIND, body["metadata"]["name"], {"metadata": {"finalizers": None}}, namespace)


@pytest.fixture
def replicas(
    kube: KubernetesClient, cluster: Cluster, cloud: Cloud, namespace: str, tmp_path: Path
) -> Iterator[Replicas]:
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        **QUICK,
        **watching([namespace], [namespace]),
    }
    with ExitStack() as running:
        yield Replicas(kube, environment, tmp_path, running)


def test_a_leader_killed_twenty_times_under_load_leaves_no_write_made_twice_and_no_code_sent_twice(
    scenario: Scenario, replicas: Replicas
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same moments in every run
    leader, standby = replicas.start("replica-0"), replicas.start("replica-1")
    load = Load(scenario)
    for kill in range(KILLS):
        since = scenario.control.last()
        load.edit_all()
        wait_for_writes(scenario, since, chance.randint(1, CONNECTORS))
        leader.process.kill()
        leader, standby = leader_first(standby, replicas.start(f"replica-{kill + 2}"))
        load.replace(f"load-{kill % CONNECTORS}")
    load.settle()
    assert replicas.transitions() == KILLS
    journal = scenario.control.journal(service="arm", path=f"/{GROUP}/.*securityConnectors", limit=100_000)
    check_writes(journal, load)
    check_outcome(scenario, load)


def leader_first(one: Operator, other: Operator) -> tuple[Operator, Operator]:
    """Wait until one of the two leads; give that one, then the other."""
    wait_until(lambda: is_leader(one) or is_leader(other), PATIENCE)
    return (one, other) if is_leader(one) else (other, one)


def wait_for_writes(scenario: Scenario, since: int, number: int) -> None:
    """Wait until so many writes have reached Azure: the rest is then under way or about to be."""
    wait_until(lambda: len(scenario.writes(since)) >= number, PATIENCE)


def check_writes(journal: list[Manifest], load: Load) -> None:
    """Each was made once: counted are requests that Azure took, whether they changed anything or not."""
    accepted = [entry for entry in journal if entry["status"] < HTTPStatus.BAD_REQUEST]
    writes = Counter((entry["operation"], connector_of(entry)) for entry in accepted if entry["method"] != "GET")
    names = {name for _, name in writes}
    assert len(names) == CONNECTORS + KILLS
    for name in names:
        assert writes["SecurityConnectors_CreateOrUpdate", name] == 1, name
        # One whose code was lost with its leader may be deleted before anybody brings another.
        assert writes["DevOpsConfigurations_CreateOrUpdate", name] in {1, int(name in load.current.values())}, name
        assert writes["SecurityConnectors_Update", name] <= load.edits[name], name
        assert writes["SecurityConnectors_Delete", name] == (name not in load.current.values()), name
    assert sum(writes["SecurityConnectors_Update", name] for name in names) > KILLS
    sent_codes = [code for entry in journal for code in entry.get("codes", [])]
    assert (
        len(sent_codes)
        == len(set(sent_codes))
        == sum(writes["DevOpsConfigurations_CreateOrUpdate", name] for name in names)
    )


def connector_of(entry: Manifest) -> str:
    """Name of the connector that a request was about."""
    return str(entry["path"]).lower().partition("/securityconnectors/")[2].partition("/")[0]


def check_outcome(scenario: Scenario, load: Load) -> None:
    """What is in Azure at the end is what the manifests say."""
    azure_connectors = {
        connector["id"].rpartition("/")[2]: connector for connector in scenario.control.world()["connectors"]
    }
    assert azure_connectors.keys() == set(load.current.values())
    for organization, name in load.current.items():
        assert azure_connectors[name]["tags"]["edit"] == str(load.edits[name])
        assert set(azure_connectors[name]["configuration"]["organizations"]) == {organization}
