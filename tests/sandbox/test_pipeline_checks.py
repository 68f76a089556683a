"""The operator's pipeline checks against the simulated Azure DevOps: every scenario, and their costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.pipelines.evidence import Unread
from defender_devops.api.pipelines.states import PIPELINE_REASONS, PipelineState
from defender_devops.api.pipelines.states import PipelineReason as Reason
from defender_devops.azuredevops.client import AzureDevOpsClient, Endpoints
from defender_devops.azuredevops.pipelines.pace import Pace
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.clock import Clock
from defender_devops.reconcile.facts.pipelines import RepositoryAssessment, assess_repositories
from defender_devops.reconcile.observe.pipelines.sweep import Sweep, SweepOptions
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from sandbox.cloud.variants import VARIANTS
from sandbox.cloud.world.pipelines.scenarios import Scenario
from sandbox.cloud.world.pipelines.schema import GeneratePipelinesSpec
from tests.sandbox.cloud.direct import ACCOUNT, Direct, larger_world

Value = TypeVar("Value")
DAY = 86400.0
HOSTS = ("devAzure", "profile", "identity", "entitlement", "extension", "search", "advancedSecurity")


@dataclass
class Check:
    """Checks of one organization of a simulated cloud."""

    direct: Direct
    organization: str
    scopes: tuple[str, ...] = ()
    options: SweepOptions = field(default_factory=lambda: SweepOptions(policies=True))
    state: SweepState = field(default_factory=SweepState)
    requests: Counter[str] = field(default_factory=Counter)
    pace: Pace | None = None
    rate_limiter: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        wall = self.direct.clock.wall
        self.rate_limiter = RateLimiter(monotonic=wall, wall=wall, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, for the clients and inside Azure."""
        self.direct.move(seconds, wall=seconds)

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests[request.url.path.rpartition("/_apis/")[2].split("/")[0]] += 1
        headers = dict(request.headers)
        parts = urlsplit(str(request.url))
        host = next(name for name in HOSTS if name.lower() == request.url.host)
        url = f"{parts.path}?{parts.query}"
        answer = await self.direct.send(host, request.method, url, request.content, headers)
        assert answer is not None
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    async def send(self, request: Callable[[AzureDevOpsClient], Awaitable[Value]]) -> Value:
        token = SecretStr(self.direct.token(ACCOUNT, "devops", self.scopes))
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.handle))
        endpoints = Endpoints(*[f"https://{host}" for host in HOSTS])
        if self.pace is not None:
            await self.pace.wait_for_turn(self.rate_limiter)
        return await request(AzureDevOpsClient(http, endpoints, token, self.rate_limiter))

    async def run(self) -> None:
        async def save(_: SweepState) -> None:
            pass

        self.requests.clear()
        await Sweep(self.organization, self.state, self.options, self.send, save, self.now).run()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.direct.clock.wall(), UTC)

    def assessments(self) -> tuple[RepositoryAssessment, ...]:
        agentless = AgentlessConfiguration(enabled=False)
        return assess_repositories(self.state.evidence(), agentless, self.organization, self.now())


STATES: dict[Scenario, set[Reason]] = {
    Scenario.SCANNED: {Reason.ARTIFACT_PUBLISHED},
    Scenario.OTHER_TOOL: {Reason.ARTIFACT_PUBLISHED},
    Scenario.FAILED_SCAN: {Reason.ARTIFACT_PUBLISHED},
    Scenario.TEMPLATE: {Reason.ARTIFACT_PUBLISHED},
    Scenario.DESIGNER: {Reason.ARTIFACT_PUBLISHED},
    Scenario.PULL_REQUEST_LATEST: {Reason.ARTIFACT_PUBLISHED},
    Scenario.TWO_PIPELINES: {Reason.ARTIFACT_PUBLISHED},
    Scenario.UNPUBLISHED: {Reason.STEP_RAN},
    Scenario.RENAMED_ARTIFACT: {Reason.STEP_RAN},
    Scenario.SKIPPED_STEP: {Reason.STEP_DID_NOT_RUN},
    Scenario.DEFENDER_CLI: {Reason.DEFENDER_CLI_TASK},
    Scenario.ADVANCED_SECURITY: {Reason.ADVANCED_SECURITY},
    Scenario.NEVER_BUILT: {Reason.FILE_HAS_TASK},
    Scenario.EXPIRED: {Reason.FILE_HAS_TASK, Reason.BUILD_TOO_OLD},
    Scenario.UNSCANNED: {Reason.NO_TASK},
    Scenario.NO_PIPELINE: {Reason.NO_PIPELINE},
    # Its pipeline has file and code in the shared repository: nothing connects the two but the pipeline's name.
    Scenario.YAML_ELSEWHERE: {Reason.NO_PIPELINE},
    Scenario.SHARED: {Reason.NO_PIPELINE, Reason.ARTIFACT_PUBLISHED},
    Scenario.EMPTY: {Reason.EMPTY},
    Scenario.DISABLED: {Reason.DISABLED},
    Scenario.FORK: {Reason.FORK},
}


def large(projects: int, repositories: int, builds: int) -> Direct:
    spec = larger_world(organizations=1, projects=projects, repositories=repositories)
    assert spec.generate is not None
    spec.generate.pipelines = GeneratePipelinesSpec(builds_per_day=builds)
    return Direct(spec)


async def peak(direct: Direct) -> float:
    """Return the most throughput units that the account has used in any five minutes."""
    usage = await direct.control("GET", "/usage")
    return float(usage[ACCOUNT]["peak"])


def scenarios(check: Check) -> dict[Scenario, set[Reason]]:
    """Return the reasons of the repositories of each scenario."""
    reasons: defaultdict[Scenario, set[Reason]] = defaultdict(set)
    projects = check.direct.world.organizations[check.organization].projects
    for item in check.assessments():
        mix = projects[item.project].repositories.mix
        assert mix is not None
        reasons[mix.scenario(int(item.repository.rpartition("-")[2]))].add(item.reason)
    return reasons


async def check_until_complete(check: Check) -> None:
    """Check on as many days as it takes until everything was read once, without new builds."""
    await check.run()
    for _ in range(5):
        if check.state.has_backlog:
            await check.run()


@pytest.mark.parametrize("has_search", [True, False])
async def test_each_scenario_gets_its_state(*, has_search: bool) -> None:
    direct = large(20, 400, 100)
    direct.world.settings.throttling = False
    if has_search:
        await direct.control("PATCH", "/organizations/org-0001", extensions={"ms.vss-code-search": "none"})
    check = Check(direct, "org-0001")
    await check_until_complete(check)
    wrong = {scenario: reasons for scenario, reasons in scenarios(check).items() if reasons - STATES[scenario]}
    assert wrong == {}
    assert len(scenarios(check)) > 15


DEVOPS_VARIANTS = [
    "previewRights",
    "taskFilter",
    "firstLog",
    "containerMappingSteps",
    "expiredBuilds",
    "deniedPipelines",
    "missingCodeSearch",
    "enablementRows",
    "logsForJson",
    "rateLimitHeaders",
    "hiddenProjects",
    "stakeholderAccess",
    "taskScope",
    "repositoryWithoutType",
    "latestCompletedBuild",
    "devOpsPages",
    "unfinishedBuilds",
    "checkoutRecords",
    "stepNames",
    "invalidYaml",
    "previewErrors",
    "unreadableRepositories",
    "commitIds",
    "infoCodes",
    "usageCosts",
]
ALTERNATIVES = [(name, value) for name in DEVOPS_VARIANTS for value in list(VARIANTS[name].values)[1:]]


@pytest.mark.parametrize("choice", ALTERNATIVES, ids="=".join)
async def test_no_alternative_makes_a_wrong_state(choice: tuple[str, str]) -> None:
    """What is not understood is undecided: nothing that scans is called missing, and nothing else scanned."""
    direct = large(4, 100, 60)
    direct.world.settings.throttling = False
    direct.world.variants.choose(dict([choice]))
    await direct.control("PATCH", "/organizations/org-0001", extensions={"ms.vss-code-search": "none"})
    check = Check(direct, "org-0001")
    await check_until_complete(check)
    decided = {
        scenario: {reason for reason in reasons if PIPELINE_REASONS[reason].state is not PipelineState.UNDECIDED}
        for scenario, reasons in scenarios(check).items()
    }
    wrong = {scenario: reasons - STATES[scenario] for scenario, reasons in decided.items()}
    assert {scenario: reasons for scenario, reasons in wrong.items() if reasons} == {}
    assert sum(bool(reasons) for reasons in decided.values()) > len(decided) // 2


@pytest.mark.parametrize("interval", [2.0, 0.01], ids=["at the default pace", "as fast as the headers allow"])
async def test_a_large_organization_stays_within_its_budget(interval: float) -> None:
    direct = large(100, 2000, 500)
    await direct.control("PATCH", "/organizations/org-0001", extensions={"ms.vss-code-search": "none"})
    check = Check(direct, "org-0001")
    wall = direct.clock.wall
    check.pace = Pace(interval, share=0.5, clock=Clock(wall, wall, check.sleep))
    await check.run()
    assert check.requests.total() <= 2500
    peaks = [await peak(direct)]
    for _ in range(4):
        direct.move(DAY, wall=DAY)
        await check.run()
        assert check.requests.total() <= 900
        peaks.append(await peak(direct))
    # In any five minutes; the fast sweep would use more if it did not obey what the service says.
    assert max(peaks) <= 200
    assert (max(peaks) > 160) is (interval < 1)
    counts = Counter(item.reason for item in check.assessments())
    assert counts[Reason.NOT_READ_YET] < 100, counts


@pytest.mark.parametrize("variant", ["forbidden", "signInPage", "unauthorized"])
async def test_a_sign_in_without_vso_build_is_recognized(variant: str) -> None:
    direct = large(5, 50, 10)
    if variant != "forbidden":
        direct.world.variants.choose({"missingScope": variant})
    check = Check(direct, "org-0001", scopes=("vso.project", "vso.code", "vso.extension", "vso.advsec"))
    await check.run()
    assert check.state.missing_scope == "vso.build"
    states = {item.state for item in check.assessments()}
    assert states <= {PipelineState.UNDECIDED, PipelineState.COVERED_OTHERWISE, PipelineState.NOT_APPLICABLE}


async def test_a_sign_in_without_vso_advsec_leaves_what_nothing_scans_undecided() -> None:
    direct = large(5, 50, 10)
    check = Check(direct, "org-0001", scopes=("vso.project", "vso.code", "vso.extension", "vso.build"))
    await check_until_complete(check)
    assert check.state.features is Unread.DENIED
    assert PipelineState.MISSING not in {item.state for item in check.assessments()}
