"""The story that the demo tells, step by step; each step waits until what it promises is so."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from sandbox.cluster.binaries import Binaries
from sandbox.cluster.client import Manifest, condition
from sandbox.demo.people import People, account_of
from sandbox.demo.rows import ConnectorRow, OrganizationRow, describe
from sandbox.demo.screen import Screen
from sandbox.demo.stage import Stage

__all__ = ["StoryFailed", "tell"]

_EXAMPLES = Path(__file__).parents[2] / "examples"
_CONNECTOR = "AzureDevOpsConnector"
_ORGANIZATION = "DevOpsOrganization"
_LOOK_SECONDS = 0.25


class StoryFailed(Exception):
    """A step did not come true in time; the message says how the resources stand."""


def tell(stage: Stage, screen: Screen) -> None:
    """Tell it from an empty cluster to a clean cloud.

    Raises:
        StoryFailed: a step did not come true.
        ProcessFailed: a program ended by itself.
        BinaryError: a program can neither be found nor made.
    """
    manifests = _examples()
    connectors = [manifest for manifest in manifests if manifest["kind"] == _CONNECTOR]
    _set_the_stage(stage, screen, connectors)
    people = People(stage.control)
    story = _Story(stage, screen)
    with screen.step("People authorize Defender, as no machine can, and apply examples/"):
        secrets = [secret for connector in connectors for secret in people.prepare(connector)]
        stage.kubernetes.apply_all([*manifests, *secrets], manager="kubectl")
    with screen.step("Every connector becomes Ready"):
        story.until(lambda found: _all(found, "Ready"), timeout=120)
    for connector in connectors:
        if "signIn" in connector["spec"]:
            _sign_in(story, people, connector)
    with screen.step("Defender discovers projects and repositories until all are Discovered"):
        story.until(lambda found: _all(found, "Discovered"), timeout=240)
    _lose_and_mend(story, people, connectors)
    _delete(story, people, next(each for each in connectors if _was_created(each)))


def _set_the_stage(stage: Stage, screen: Screen, connectors: Sequence[Manifest]) -> None:
    with screen.step("Find, download or build the programs of a Kubernetes API server, and helm"):
        Binaries.find("helm")
    with screen.step("Start a Kubernetes API server"):
        stage.start_cluster()
        screen.say(f"{stage.cluster.server} with etcd and kube-controller-manager")
    with screen.step("Start the simulated Entra ID, Azure Resource Manager and Azure DevOps"):
        stage.start_cloud()
        screen.say(stage.cloud.endpoints["arm"])
    with screen.step("Pack the operator's chart and install it by helm: account, rights, resources"):
        stage.install_chart(connectors)
    with screen.step("Start the operator as the chart's service account"):
        stage.start_operator()
        screen.say(
            f"system:serviceaccount:{stage.release.namespace}:{stage.release.service_account}; no secret for Azure"
        )


def _sign_in(story: _Story, people: People, connector: Manifest) -> None:
    name, account = connector["metadata"]["name"], connector["spec"]["signIn"]["account"]
    with story.screen.step(f"{account} signs in on the page of {name}"):
        waiting = story.until(lambda found: any("signIn" in each.get("status", {}) for each in found), timeout=30)
        address = next(each for each in waiting if each["metadata"]["name"] == name)["status"]["signIn"]["url"]
        story.screen.say(address)
        people.sign_in(address, account, story.stage.cloud.ca)
        story.until(
            lambda found: any(each["metadata"]["name"] == name and _is(each, "SignedIn") for each in found), timeout=30
        )


def _lose_and_mend(story: _Story, people: People, connectors: Sequence[Manifest]) -> None:
    account = account_of(connectors[0])
    with story.screen.step(f"Somebody removes {account} from its organizations"):
        people.take_access_away(account)
        found = story.until(lambda found: _all(found, "ReauthRequired"), timeout=60)
        for each in found:
            message = condition(each, "ReauthRequired").get("message", "")
            story.screen.say(f"{each['metadata']['name']}: ReauthRequired: {message}")
    with story.screen.step(f"{account} is let in again"):
        people.give_access_back(account)
        story.until(_all_is_well, timeout=60)


def _all_is_well(found: Sequence[Manifest]) -> bool:
    signing_in = [each for each in found if "signIn" in each["spec"]]
    lost = any(_is(each, "ReauthRequired") for each in found)
    return _all(found, "Ready") and _all(signing_in, "SignedIn") and not lost


def _delete(story: _Story, people: People, connector: Manifest) -> None:
    name = connector["metadata"]["name"]
    with story.screen.step(f"kubectl delete azuredevopsconnector {name}"):
        live = story.connector(name)
        connector_id = live["status"]["connectorId"].lower()
        story.stage.kubernetes.delete(_CONNECTOR, name, live["metadata"]["namespace"])
        story.until(lambda found: name not in {each["metadata"]["name"] for each in found}, timeout=60)
        if connector_id in people.connectors_in_azure():
            raise StoryFailed(f"{connector_id} is still in Azure")
        story.screen.say(f"gone from Azure: {connector_id}")


class _Story:
    """Looks at the resources again and again, and keeps the screen up to date."""

    def __init__(self, stage: Stage, screen: Screen) -> None:
        self.stage = stage
        self.screen = screen

    def until(self, holds: Callable[[list[Manifest]], bool], *, timeout: float) -> list[Manifest]:
        """Wait until something holds for all connectors.

        Raises:
            StoryFailed: it does not within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not holds(found := self._look()):
            if time.monotonic() > deadline:
                stand = "\n".join(describe(each) for each in found)
                raise StoryFailed(f"not so after {timeout:.0f} s. This is how it stands:\n{stand}")
            self.stage.check()
            time.sleep(_LOOK_SECONDS)
        return found

    def connector(self, name: str) -> Manifest:
        """One connector as it is now."""
        return next(each for each in self._look() if each["metadata"]["name"] == name)

    def _look(self) -> list[Manifest]:
        connectors = self.stage.kubernetes.list_all(_CONNECTOR)
        organizations = self.stage.kubernetes.list_all(_ORGANIZATION)
        self.screen.show(
            [ConnectorRow.of(connector) for connector in connectors],
            [OrganizationRow.of(organization) for organization in organizations],
        )
        return connectors


def _examples() -> list[Manifest]:
    return [manifest for path in sorted(_EXAMPLES.glob("*.yaml")) for manifest in yaml.safe_load_all(path.read_text())]


def _is(connector: Manifest, type_: str) -> bool:
    """Whether a condition is True for the spec that stands there now."""
    found = condition(connector, type_)
    return bool(
        found.get("status") == "True" and found.get("observedGeneration") == connector["metadata"]["generation"]
    )


def _all(connectors: Sequence[Manifest], type_: str) -> bool:
    return bool(connectors) and all(_is(connector, type_) for connector in connectors)


def _was_created(connector: Manifest) -> bool:
    """Whether the operator creates it, and so deletes it."""
    return "codeSecretRef" in connector["spec"].get("authorization", {})
