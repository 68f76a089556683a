"""Upgrades and rollbacks with live connectors, by each way to install: nothing is lost, authorized again, or written.

The earlier version runs with its own chart, CRDs and code (tests/data/releases).
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from sandbox.cluster import Cluster, KubernetesClient, binary
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Cloud
from sandbox.stack.chart import Release, package_chart
from tests.support.chart.helm import NAMESPACE, RELEASE, ROOT, helm
from tests.support.chart.installed_operator import release_of
from tests.support.scenarios.scenario import ACCOUNT, KIND, TENANT, Scenario, wait_for
from tests.support.scenarios.sign_in_scenario import APP, TOKENS, SignInScenario
from tests.system.chart.conftest import CRDS, OPERATING, TEAM, Install, Operate, delete_crds, persistent_parts

RELEASES = sorted(path for path in (ROOT / "tests/data/releases").iterdir() if path.is_dir())
LOAD = 8
"""Adopted connectors beside the one that was created with a code."""

RISK: dict[str, Any] = {"type": "object", "properties": {"score": {"type": "integer"}}}
"""Schema of a status field that a newer version could have."""


@dataclass(frozen=True)
class Version:
    """A version of the project.

    Attributes:
        archive: its packaged chart.
        chart: the same chart as a folder.
        code: folder with its operator; None for the present one.
    """

    archive: Path
    chart: Path
    code: Path | None

    @classmethod
    def unpack(cls, archive: Path, folder: Path, code: Path | None = None) -> Version:
        """Unpack a version into a folder."""
        folder.mkdir()
        for packed in (archive, *([code] if code else [])):
            subprocess.run(["tar", "-xf", packed, "-C", folder], check=True)
        return cls(archive, folder / RELEASE, folder if code else None)

    def crds(self) -> list[Manifest]:
        """The CRDs of the chart."""
        return [yaml.safe_load(file.read_text()) for file in sorted((self.chart / "files/crds").glob("*.yaml"))]


@dataclass
class Helm:
    """`helm upgrade --install` and `helm rollback`; the CRDs are part of the release, and go back with it."""

    cluster: Cluster
    api: KubernetesClient
    folder: Path
    values: ClassVar[dict[str, Any]] = OPERATING

    def install(self, version: Version) -> Release:
        """Install the version, or upgrade to it."""
        return Release.install(self.cluster, NAMESPACE, version.archive, self.values)

    def roll_back(self, version: Version) -> Release:
        """Go back to the version."""
        del version  # it is the revision before
        helm("rollback", RELEASE, "--namespace", NAMESPACE, "--kubeconfig", self.cluster.kubeconfig)
        return release_of(self.cluster)

    def uninstall(self) -> None:
        """Remove everything but the CRDs."""
        release_of(self.cluster).uninstall()


@dataclass
class Flux(Helm):
    """A HelmRelease, as Flux's helm-controller carries it out: applied by the client, with the values of git.

    To go back is another upgrade, to the version that git has again.
    """

    def install(self, version: Version) -> Release:
        """Install the version, or upgrade to it."""
        file = self.folder / "values.yaml"
        file.write_text(yaml.safe_dump(self.values))
        options = ("--install", "--create-namespace", "--reset-values", "--server-side=false", "--values", file)
        target = ("--namespace", NAMESPACE, "--kubeconfig", self.cluster.kubeconfig)
        helm("upgrade", RELEASE, version.archive, *options, *target)
        for name in CRDS:
            self.api.wait_established(name)
        return release_of(self.cluster)

    def roll_back(self, version: Version) -> Release:
        """Go back to the version."""
        return self.install(version)


@dataclass
class FluxWithReplacedCrds(Flux):
    """A HelmRelease with `crds: CreateReplace`, for a chart whose CRDs are in the folder that this policy concerns."""

    values: ClassVar[dict[str, Any]] = {**OPERATING, "crds": {"enabled": False}}

    def install(self, version: Version) -> Release:
        """Create the CRDs or replace them as a whole, then install the version."""
        for crd in version.crds():
            existing = self.api.get(crd["kind"], crd["metadata"]["name"])
            if existing is None:
                self.api.create(crd)
            else:
                metadata = {**crd["metadata"], "resourceVersion": existing["metadata"]["resourceVersion"]}
                self.api.replace({**crd, "metadata": metadata})
        return super().install(version)


@dataclass
class Kubectl(Helm):
    """`kubectl apply` of the CRDs and of the rendered chart. To go back, only the chart: the newer CRDs stay."""

    values: ClassVar[dict[str, Any]] = {**OPERATING, "crds": {"enabled": False}}

    def install(self, version: Version) -> Release:
        """Apply the CRDs, then the chart."""
        self._kubectl("apply", *_APPLY, "--filename", version.chart / "files/crds")
        for name in CRDS:
            self.api.wait_established(name)
        return self.roll_back(version)

    def roll_back(self, version: Version) -> Release:
        """Apply the chart without its CRDs."""
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        values, rendered = self.folder / "values.yaml", self._rendered
        values.write_text(yaml.safe_dump(self.values))
        options = ("--namespace", NAMESPACE, "--kube-version", "1.37.0", "--values", values)
        rendered.write_text(helm("template", RELEASE, version.archive, *options))
        self._kubectl("apply", *_APPLY, "--filename", rendered)
        manifests = [manifest for manifest in yaml.safe_load_all(rendered.read_text()) if manifest]
        return Release(self.cluster.kubeconfig, NAMESPACE, manifests, "")

    def uninstall(self) -> None:
        """Delete what was applied last."""
        self._kubectl("delete", "--filename", self._rendered)

    @property
    def _rendered(self) -> Path:
        return self.folder / "rendered.yaml"

    def _kubectl(self, *arguments: str | Path) -> None:
        subprocess.run([binary("kubectl"), "--kubeconfig", self.cluster.kubeconfig, *arguments], check=True)


_APPLY = ("--server-side", "--force-conflicts")


@pytest.fixture(params=[Helm, Flux, FluxWithReplacedCrds, Kubectl], ids=lambda way: way.__name__)
def way(
    request: pytest.FixtureRequest, empty_cluster: Cluster, api: KubernetesClient, tmp_path: Path
) -> Iterator[Helm]:
    """One way to install, upgrade and roll back."""
    way: Helm = request.param(empty_cluster, api, tmp_path)
    yield way
    way.uninstall()
    delete_crds(api)


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Version:
    """An earlier version."""
    (archive,) = request.param.glob("*.tgz")
    return Version.unpack(archive, tmp_path / "earlier", request.param / "operator.tar.xz")


@pytest.fixture
def present(tmp_path: Path) -> Version:
    """This version, as the next release."""
    return Version.unpack(package_chart(tmp_path, version="0.9.0"), tmp_path / "present")


@pytest.fixture
def scenario(scenario: Scenario, trusting_cloud: Cloud, tmp_path: Path) -> SignInScenario:
    """The team's namespace, with a person at a browser.

    The garbage collector may not have deleted yet what belonged to the connector of an earlier test.
    """
    scenario.kube.delete("Secret", TOKENS, scenario.namespace)
    log = tmp_path / "pod/operator.log"
    return SignInScenario(scenario.kube, scenario.control, scenario.namespace, trusting_cloud.ca, log)


def create_connectors(scenario: SignInScenario) -> None:
    """Create `contoso` with a code and sign in for it, adopt the others, and wait until all are Ready."""
    scenario.secret("signin-app", client_secret=scenario.app_secret)
    scenario.ready(signIn=SIGN_IN)
    scenario.sign_in()
    scenario.wait("SignedIn", "True")
    members = [{"account": ACCOUNT, "administrator": True}]
    for name in LOADED:
        scenario.control.add_organization(name=name, tenant=TENANT, members=members, projects=[{"name": "first"}])
        scenario.in_portal(name, organizations=[name])
        scenario.apply(loaded(scenario, name))
    wait_all_ready(scenario)
    scenario.wait_organization("contoso-fabrikam", "Ready", "True")


def wait_all_ready(scenario: Scenario) -> None:
    """Wait until all connectors are Ready."""
    for name in ("contoso", *LOADED):
        scenario.wait("Ready", "True", name=name)


LOADED = tuple(f"load-{number}" for number in range(LOAD))
SIGN_IN = {
    "method": "AuthorizationCode",
    "account": ACCOUNT,
    "client": {"id": APP, "type": "Secret", "secretRef": {"name": "signin-app", "key": "client-secret"}},
}
"""A sign-in by a person, whose tokens are in a Secret of the connector."""


def loaded(scenario: Scenario, name: str, **tags: str) -> Manifest:
    """The manifest of an adopted connector with these tags."""
    organizations = {"mode": "Selected", "names": [name]}
    adopt = {"method": "Adopt", "codeSecretRef": None}
    return scenario.manifest(name, azure={"tags": tags}, organizations=organizations, authorization=adopt)


def bodies(scenario: Scenario) -> dict[str, Manifest]:
    """All connectors and organizations by kind and name."""
    return {
        f"{kind}/{body['metadata']['name']}": body
        for kind in (KIND, "DevOpsOrganization")
        for body in scenario.kube.list_all(kind, TEAM)
    }


def wait_observed_by_all(scenario: Scenario) -> None:
    """Wait until the operator has polled Azure and has probed every authorization."""
    since = scenario.control.last()

    def is_probed() -> bool:
        paths = [entry["path"] for entry in scenario.control.journal(since=since, operation=PROBE)]
        return all(any(f"/{name}/" in path for path in paths) for name in ("contoso", *LOADED))

    wait_for(is_probed, "not every authorization was probed", timeout=60)
    scenario.wait_observed()


PROBE = "AzureDevOpsOrgs_ListAvailable"


def assert_unchanged(scenario: Scenario, expected: dict[str, Manifest], since: int) -> None:
    """Nothing is lost or written, and nobody is asked to authorize."""
    current = bodies(scenario)
    assert current.keys() == expected.keys()
    for name, body in expected.items():
        assert persistent_parts(current[name], body) == persistent_parts(body, body), name
        assert condition(current[name], "ReauthRequired").get("status") in {None, "False"}, name
    memory = {name: memory_of(body) for name, body in current.items()}
    assert memory == {name: memory_of(body) for name, body in expected.items()}
    assert scenario.writes(since) == []
    assert_signed_in(scenario, expected[f"{KIND}/contoso"])


def assert_signed_in(scenario: Scenario, earlier: Manifest) -> None:
    """The sign-in of `contoso` works with the stored tokens, without an interruption and without a person."""
    present, former = condition(scenario.connector(), "SignedIn"), condition(earlier, "SignedIn")
    assert [present.get(name) for name in SINCE] == [former.get(name) for name in SINCE]
    assert len(scenario.control.journal(operation="Token authorization_code")) == 1, "the only one of a person"


SINCE = ("status", "reason", "lastTransitionTime")


def memory_of(body: Manifest) -> dict[str, Any]:
    """What the status remembers for later reconciles, and what only a person or time could bring back."""
    status = body["status"]
    remembered = ("connectorId", "azure", "authorization", "includedByMode", "organizationId")
    signed_in = {name: status.get("signIn", {}).get(name) for name in ("account", "tenantId")}
    return {name: status[name] for name in remembered if name in status} | {"signIn": signed_in}


def edit_all(scenario: Scenario, edit: str) -> None:
    """Set a tag of every adopted connector."""
    for name in LOADED:
        scenario.apply(loaded(scenario, name, edit=edit))


def assert_edited_once(scenario: Scenario, edit: str, since: int) -> None:
    """Every edit arrives in Azure, by one write each, whichever version made it."""
    for name in LOADED:
        wait_for(
            lambda name=name: ((scenario.in_azure(name) or {}).get("tags") or {}).get("edit") == edit,  # type: ignore[misc]
            f"the edit of {name} is lost",
            timeout=60,
        )
        scenario.wait("Ready", "True", name=name)
    journal = scenario.control.journal(since=since, service="arm", effective="true")
    writes = Counter((entry["operation"], str(entry["path"]).rpartition("/")[2]) for entry in journal)
    assert writes == Counter(("SecurityConnectors_Update", name) for name in LOADED)


@pytest.mark.long
def test_live_connectors_survive_an_upgrade_a_rollback_and_the_next_upgrade(
    way: Helm, earlier: Version, present: Version, operate: Operate, scenario: SignInScenario
) -> None:
    with operate(way.install(earlier), earlier.code):
        create_connectors(scenario)
        wait_observed_by_all(scenario)
        wait_all_ready(scenario)
        expected = bodies(scenario)
    since = scenario.control.last()
    release = way.install(present)
    with operate(release):
        wait_observed_by_all(scenario)
        assert_unchanged(scenario, expected, since)
        # Under load: the operator is stopped while it carries the edits out.
        edit_all(scenario, "during the rollback")
        wait_for(lambda: scenario.writes(since), "no edit was carried out")
    release = way.roll_back(earlier)
    with operate(release, earlier.code):
        assert_edited_once(scenario, "during the rollback", since)
        wait_observed_by_all(scenario)
        expected = bodies(scenario)
    since = scenario.control.last()
    edit_all(scenario, "without an operator")
    release = way.install(present)
    with operate(release):
        assert_edited_once(scenario, "without an operator", since)
        wait_observed_by_all(scenario)
        assert {name: memory_of(body) for name, body in bodies(scenario).items()} == {
            name: memory_of(body) for name, body in expected.items()
        }
        assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1, "the only code"
        assert_signed_in(scenario, expected[f"{KIND}/contoso"])
        for name in ("contoso", *LOADED):
            scenario.kube.delete(KIND, name, TEAM)
        for name in ("contoso", *LOADED):
            scenario.kube.wait_deleted(KIND, name, TEAM)
    assert scenario.in_azure() is None
    assert len(scenario.control.world()["connectors"]) == LOAD, "adopted ones are detached"


@pytest.mark.long
def test_what_a_newer_version_wrote_into_a_status_is_kept(
    api: KubernetesClient, install: Install, operate: Operate, scenario: Scenario
) -> None:
    with operate(install(**OPERATING)):
        scenario.ready()
        add_newer_fields(api)
        newer = {
            "risk": {"score": 7},
            "azure": {"risk": {"score": 8}},
            "conditions": [*scenario.connector()["status"]["conditions"], NEWER_CONDITION],
        }
        api.patch(KIND, "contoso", {"status": newer}, TEAM, subresource="status")
        scenario.apply(scenario.manifest(azure={"tags": {"team": "blue"}}))
        scenario.wait("Ready", "True")
        scenario.wait_observed()
        status = scenario.connector()["status"]
        assert (status["risk"], status["azure"]["risk"]) == ({"score": 7}, {"score": 8})
        assert status["azure"]["managedTagKeys"].count("team") == 1, "the status was written"
        assert condition(scenario.connector(), "RiskAssessed") == NEWER_CONDITION


NEWER_CONDITION = {
    "type": "RiskAssessed",
    "status": "True",
    "reason": "LowRisk",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


def add_newer_fields(api: KubernetesClient) -> None:
    """Serve the CRD with status fields that this version does not know."""
    crd = api.get("CustomResourceDefinition", CRDS[0])
    assert crd is not None
    status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    status["risk"] = RISK
    status["azure"]["properties"]["risk"] = RISK
    api.replace(crd)
    change = {"status": {"risk": {"score": 0}}}
    wait_for(
        lambda: "risk" in api.patch(KIND, "contoso", change, TEAM, subresource="status")["status"],
        "the API server does not serve the new schema",
    )
