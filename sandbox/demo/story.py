"""The steps of the demo; each waits until its result is reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from sandbox.cluster.binaries import Binaries
from sandbox.cluster.client import Manifest, condition
from sandbox.demo.environment import Environment
from sandbox.demo.people import People, account_of
from sandbox.demo.resource_rows import ConnectorRow, OrganizationRow, describe
from sandbox.demo.screen import Screen

__all__ = ["StoryFailed", "run_story"]

_EXAMPLES = Path(__file__).parents[2] / "examples"
_CONNECTOR = "AzureDevOpsConnector"
_ORGANIZATION = "DevOpsOrganization"
_POLL_SECONDS = 0.25
_STATES = ("ran", "configured", "coveredOtherwise", "undecided", "missing", "notApplicable")
"""States of repositories in `status.pipelines`, the best evidence first."""


class StoryFailed(Exception):
    """A step did not succeed in time; the message has the conditions of the resources."""


def run_story(environment: Environment, screen: Screen) -> None:
    """Run all steps, from an empty cluster to a cleaned-up cloud.

    Raises:
        StoryFailed: a step failed.
        ProcessFailed: a program ended unexpectedly.
        BinaryError: a program is neither installed nor can be downloaded or built.
    """
    manifests: list[Manifest] = [
        manifest
        for path in sorted(_EXAMPLES.glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    connectors = [manifest for manifest in manifests if manifest["kind"] == _CONNECTOR]
    _start_everything(environment, screen, connectors)
    people = People(environment.control, environment.cloud)
    story = _Story(environment, screen)
    with screen.step("People authorize Defender (an interactive step) and apply examples/"):
        secrets = [secret for connector in connectors for secret in people.prepare(connector)]
        environment.kubernetes.apply_all([*manifests, *secrets], manager="kubectl")
    with screen.step("All connectors become Ready"):
        story.wait_until(lambda current: _all(current, "Ready"), timeout=120)
    for connector in connectors:
        if "signIn" in connector["spec"]:
            _sign_in(story, people, connector)
    with screen.step("Defender discovers projects and repositories until all are Discovered"):
        story.wait_until(lambda current: _all(current, "Discovered"), timeout=240)
    _show_findings(story)
    _show_pipelines(story)
    _revoke_and_restore_access(story, people, connectors)
    _delete(story, people, next(connector for connector in connectors if _is_created_by_operator(connector)))


def _start_everything(environment: Environment, screen: Screen, connectors: Sequence[Manifest]) -> None:
    with screen.step("Find, download or build the programs of a Kubernetes API server, and helm"):
        Binaries.find("helm")
    with screen.step("Start a Kubernetes API server"):
        environment.start_cluster()
        screen.say(f"{environment.cluster.server} with etcd and kube-controller-manager")
    with screen.step("Start the simulated Entra ID, Azure Resource Manager and Azure DevOps"):
        environment.start_cloud()
        screen.say(environment.cloud.endpoints["arm"])
    with screen.step("Package the operator's chart and install it with helm: service account, RBAC, CRDs"):
        environment.install_chart(connectors)
    with screen.step("Start the operator as the chart's service account"):
        environment.start_operator()
        screen.say(
            f"system:serviceaccount:{environment.release.namespace}:{environment.release.service_account}; "
            "no secret for Azure"
        )


def _sign_in(story: _Story, people: People, connector: Manifest) -> None:
    name, account = connector["metadata"]["name"], connector["spec"]["signIn"]["account"]
    with story.screen.step(f"{account} signs in on the page of {name}"):
        waiting = story.wait_until(
            lambda current: any("signIn" in connector.get("status", {}) for connector in current), timeout=30
        )
        address = next(connector for connector in waiting if connector["metadata"]["name"] == name)["status"]["signIn"][
            "url"
        ]
        story.screen.say(address)
        people.sign_in(address, account)
        story.wait_until(
            lambda current: any(
                connector["metadata"]["name"] == name and _is(connector, "SignedIn") for connector in current
            ),
            timeout=30,
        )


def _show_findings(story: _Story) -> None:
    with story.screen.step("The operator counts what Defender found"):
        story.wait_until(lambda current: _all(current, "PostureAvailable"), timeout=120)
    command = ("findings", "-A", "--severity", "critical")
    with story.screen.step(f"kubectl defender-devops {' '.join(command)}"):
        story.screen.say(story.environment.run_command(*command))


def _show_pipelines(story: _Story) -> None:
    with story.screen.step("The operator checks which repositories are scanned by a pipeline or something else"):
        for organization, repositories in story.wait_for_pipelines(timeout=120).items():
            numbers = ", ".join(f"{repositories[state]} {state}" for state in _STATES if repositories[state])
            story.screen.say(f"{organization}: {numbers} (kubectl defender-devops pipelines lists them)")


def _revoke_and_restore_access(story: _Story, people: People, connectors: Sequence[Manifest]) -> None:
    account = account_of(connectors[0])
    with story.screen.step(f"Remove {account} from its organizations"):
        people.remove_access(account)
        current = story.wait_until(lambda current: _all(current, "ReauthRequired"), timeout=60)
        for connector in current:
            message = condition(connector, "ReauthRequired").get("message", "")
            story.screen.say(f"{connector['metadata']['name']}: ReauthRequired: {message}")
    with story.screen.step(f"Restore the access of {account}"):
        people.restore_access(account)
        story.wait_until(_is_recovered, timeout=60)


def _is_recovered(current: Sequence[Manifest]) -> bool:
    signing_in = [connector for connector in current if "signIn" in connector["spec"]]
    # Ready may come back before the last message about the loss is gone.
    reauthorization = any(_is(connector, "ReauthRequired") for connector in current)
    return _all(current, "Ready") and _all(signing_in, "SignedIn") and not reauthorization


def _delete(story: _Story, people: People, connector: Manifest) -> None:
    name = connector["metadata"]["name"]
    with story.screen.step(f"kubectl delete azuredevopsconnector {name}"):
        live = story.connector(name)
        connector_id = live["status"]["connectorId"].lower()
        story.environment.kubernetes.delete(_CONNECTOR, name, live["metadata"]["namespace"])
        story.wait_until(
            lambda current: name not in {connector["metadata"]["name"] for connector in current}, timeout=60
        )
        if connector_id in people.connectors_in_azure():
            raise StoryFailed(f"{connector_id} is still in Azure")
        story.screen.say(f"deleted in Azure: {connector_id}")


class _Story:
    """Polls the resources and updates the screen."""

    def __init__(self, environment: Environment, screen: Screen) -> None:
        self.environment = environment
        self.screen = screen

    def wait_until(self, predicate: Callable[[list[Manifest]], bool], *, timeout: float) -> list[Manifest]:
        """Wait until a predicate on all connectors holds.

        Raises:
            StoryFailed: it does not hold within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not predicate(current := self._refresh()):
            if time.monotonic() > deadline:
                stand = "\n".join(describe(connector) for connector in current)
                raise StoryFailed(f"not reached after {timeout:.0f} s. Current conditions:\n{stand}")
            self.environment.check()
            time.sleep(_POLL_SECONDS)
        return current

    def wait_for_pipelines(self, *, timeout: float) -> dict[str, dict[str, int]]:
        """Return the number of repositories in each state, by organization of the connectors with pipeline checks.

        Raises:
            StoryFailed: they are not checked within `timeout` seconds.
        """
        repositories: dict[str, dict[str, int]] = {}

        def are_checked(connectors: list[Manifest]) -> bool:
            checked = {item["metadata"]["name"] for item in connectors if "pipelineChecks" in item["spec"]}
            organizations = [
                organization
                for organization in self.environment.kubernetes.list_all(_ORGANIZATION)
                if organization["spec"]["connectorRef"]["name"] in checked
                and organization.get("status", {}).get("onboardingState") == "Onboarded"
            ]
            for organization in organizations:
                pipelines = organization["status"].get("pipelines", {})
                if "repositories" in pipelines:
                    repositories[organization["spec"]["organization"]] = pipelines["repositories"]
            return bool(repositories) and len(repositories) == len(organizations)

        self.wait_until(are_checked, timeout=timeout)
        return repositories

    def connector(self, name: str) -> Manifest:
        """Return the current state of a connector."""
        return next(connector for connector in self._refresh() if connector["metadata"]["name"] == name)

    def _refresh(self) -> list[Manifest]:
        connectors = self.environment.kubernetes.list_all(_CONNECTOR)
        organizations = self.environment.kubernetes.list_all(_ORGANIZATION)
        self.screen.show(
            [ConnectorRow.of(connector) for connector in connectors],
            [OrganizationRow.of(organization) for organization in organizations],
        )
        return connectors


def _is(connector: Manifest, type_: str) -> bool:
    """Whether a condition is True for the current generation."""
    entry = condition(connector, type_)
    return bool(
        entry.get("status") == "True" and entry.get("observedGeneration") == connector["metadata"]["generation"]
    )


def _all(connectors: Sequence[Manifest], type_: str) -> bool:
    return bool(connectors) and all(_is(connector, type_) for connector in connectors)


def _is_created_by_operator(connector: Manifest) -> bool:
    """Whether the operator creates the connector in Azure, and so deletes it."""
    return "codeSecretRef" in connector["spec"].get("authorization", {})
