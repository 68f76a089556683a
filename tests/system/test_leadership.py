"""Replicas of the operator as processes, on a real API server: one leads, another follows it whatever happens to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.cluster import Cluster, KubernetesClient
from sandbox.stack import Cloud
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.conftest import StartCloud
from tests.support.scenarios.replicas import Replicas, is_leader, wait_until

TAKE_OVER = 15.0


@pytest.fixture(scope="module")
def cloud(start_cloud: StartCloud) -> Cloud:
    """One for all tests: there is no connector."""
    return start_cloud()


@pytest.fixture
def replicas(kube: KubernetesClient, cluster: Cluster, cloud: Cloud, tmp_path: Path) -> Iterator[Replicas]:
    environment = {"KUBECONFIG": str(cluster.kubeconfig), **cloud.environment(), **CLIENT_SECRET_IDENTITY}
    with ExitStack() as running:
        yield Replicas(kube, environment, tmp_path, running)


def test_one_of_two_replicas_leads_both_are_ready_and_the_pod_of_one_is_labelled(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    assert (is_leader(one), is_leader(two)) == (True, False)
    assert replicas.holder() == "one"
    assert replicas.labelled() == {"one"}


def test_a_leader_that_is_killed_is_followed_within_15_seconds(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    one.process.kill()
    assert wait_until(lambda: is_leader(two), TAKE_OVER) > 5
    assert replicas.holder() == "two"
    assert replicas.transitions() == 1


def test_a_leader_that_ends_is_followed_at_once_and_takes_its_label_off(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    assert one.stop() == 0
    assert replicas.holder() in ("", "two")
    wait_until(lambda: is_leader(two), 3.0)
    wait_until(lambda: replicas.labelled() == {"two"}, 3.0)


@pytest.mark.long
def test_a_frozen_leader_is_followed_and_gives_up_when_it_wakes(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    os.kill(one.process.pid, signal.SIGSTOP)
    wait_until(lambda: is_leader(two), TAKE_OVER)
    os.kill(one.process.pid, signal.SIGCONT)
    wait_until(lambda: one.process.exit_status is not None, 10.0)
    assert one.process.exit_status == 1
    assert replicas.holder() == "two"
    assert is_leader(two)


def test_a_standby_that_ends_leaves_the_leader_alone(replicas: Replicas) -> None:
    one, two = replicas.start("one"), replicas.start("two")
    assert two.stop() == 0
    assert is_leader(one)
    assert replicas.transitions() == 0


@pytest.mark.long
def test_a_replica_that_comes_back_takes_the_label_of_its_predecessor_off(replicas: Replicas) -> None:
    replicas.start("one").process.kill()
    assert replicas.labelled() == {"one"}
    two = replicas.start("two")
    wait_until(lambda: is_leader(two), TAKE_OVER)
    replicas.start("one")
    assert replicas.labelled() == {"two"}
