"""What the operator promises under every variant of the simulated cloud: no guess about Azure is load-bearing.

The cases come from the variants themselves, so that a new one is included. The long tests take each variant alone, and
pairs that a seed draws (`VARIANTS_SEED`); the quick ones take combinations of those that concern most of a connector's
life.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Mapping

import httpx
import pytest

from sandbox.cloud.variants import VARIANTS
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ACCOUNT, KIND, Scenario, message, wait_for

pytestmark = pytest.mark.early

Choices = Mapping[str, str]

ORGANIZATIONS = {"contoso", "fabrikam"}
"""What the manifest selects; the account is a member of more."""

EXCLUDED = {"adventure-works", "wingtip-toys"}
"""What the manifest with mode All excludes from the beginning."""
LATER_EXCLUDED = "northwind"
ALL = {"contoso", "fabrikam", "northwind", "tailspin"}
"""What mode All covers without these exclusions."""

REQUESTS_PER_PROBE = 40
"""Requests to Azure for each check of an authorization at rest: twice those where projects have to be listed."""

PAIRS = 200
SEED = int(os.environ.get("VARIANTS_SEED", "16"))

LOSS = "listAvailableWithoutAuthorization"
LOSS_IS_UNKNOWN = {"badRequest", "serverError"}
"""Answers after a loss that do not say what they are about."""
LOSS_IS_INVISIBLE = {"stale"}
"""Answers after a loss that are those of before it. The next discovery run shows it, unless `STATE` hides that, too:
then only the operator's own sign-in can notice."""
STATE = "provisioningAfterLoss"
ONE_DAY = 86_400.0
WITHOUT_ORGANIZATIONS = "listAvailableWithoutOrganizations"

QUICK: list[Choices] = [
    {LOSS: "unauthorized", "connectorChildren": "required", "graphChildren": "absent", "codeRedemption": "finished"},
    {LOSS: "forbidden", "connectorDeletion": "accepted", "unfamiliarAnswers": "values", "operationResults": "expire"},
    {LOSS: "badRequest", "concurrentOperations": "conflict", "createDuration": "tenMinutes", "listPages": "all"},
    {LOSS: "serverError", "provisioningAfterLoss": "unchanged", "graphDeletions": "linger"},
]
EXCLUDING: list[Choices] = [
    {"inventoryPatch": "adds", "graphChildren": "withoutEmpty"},
    {"inventoryPatch": "refusesUnknown", "patchWithoutInventory": "keeps", "concurrentOperations": "conflict"},
]
SINGLES: list[Choices] = [
    {name: value} for name, variant in VARIANTS.items() for value in variant.values if value != variant.default
]


def draw_pairs() -> list[Choices]:
    """Return pairs of values of different variants."""
    pairs = [
        first | second
        for first, second in itertools.combinations(map(dict, SINGLES), 2)
        if first.keys() != second.keys()
    ]
    return list(random.Random(SEED).sample(pairs, PAIRS))  # noqa: S311 - the seed repeats a run


def label(choices: Choices) -> str:
    """Return the name of a case."""
    return " ".join(f"{name}={value}" for name, value in choices.items())


def statuses(body: Manifest) -> dict[str, tuple[str, str]]:
    """Return status and reason of the conditions, without those that follow the discovery."""
    return {
        item["type"]: (item["status"], item["reason"])
        for item in body["status"]["conditions"]
        if item["type"] not in {"Discovered", "PostureAvailable"}
    }


def assert_becomes_ready(scenario: Scenario) -> None:
    """(a) Ready; (b) without a request to authorize again; (d) after one code; (e) with the selected organizations."""
    scenario.new_code()
    scenario.apply(scenario.manifest())
    ready = scenario.wait("Ready", "True", timeout=45)
    assert condition(ready, "ReauthRequired")["status"] == "False"
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1
    assert scenario.onboarded() == ORGANIZATIONS


def assert_rests(scenario: Scenario) -> None:
    """(c) Until the next check of the authorization nothing is written, no condition changes, few requests are sent."""
    scenario.wait_observed()
    since, conditions = scenario.control.last(), statuses(scenario.connector())
    scenario.wait_observed()
    assert scenario.writes(since) == []
    assert statuses(scenario.connector()) == conditions
    probes = scenario.control.journal(since=since, operation="AzureDevOpsOrgs_ListAvailable")
    polls = scenario.control.journal(since=since, operation="Resources_Query")
    assert len(probes) <= 2 * len(polls)
    assert len(scenario.control.journal(since=since, service="arm")) <= REQUESTS_PER_PROBE * len(probes)


def value_of(choices: Choices, name: str) -> str:
    """Return the value of a variant in a case."""
    return choices.get(name, VARIANTS[name].default)


def assert_loss_is_noticed(scenario: Scenario, choices: Choices) -> None:
    """(b) A loss is reported, and as Unknown where the answer does not say what it is; (e) nothing is offboarded."""
    since, answer = scenario.control.last(), value_of(choices, LOSS)
    if WITHOUT_ORGANIZATIONS in choices:
        scenario.control.remove_access(ACCOUNT)
        answer = value_of(choices, WITHOUT_ORGANIZATIONS)
    else:
        scenario.control.change_account(ACCOUNT, blocked=True)
    if answer in LOSS_IS_INVISIBLE:
        scenario.wait_observed()
        assert condition(scenario.connector(), "Provisioned")["status"] == "True"
        assert scenario.writes(since) == []
        assert_discovery_shows_the_loss(scenario, choices)
        since = scenario.control.last()
    elif answer in LOSS_IS_UNKNOWN:
        # A discovery run that fails for the lost authorization shows it, too.
        body = scenario.wait_until(lambda body: condition(body, "ReauthRequired")["status"] != "False", timeout=45)
        assert condition(body, "Authorized")["status"] != "True"
        assert "authoriz" in message(body, "Authorized")
    else:
        body = scenario.wait("ReauthRequired", "True", "AuthorizationLost", timeout=45)
        assert condition(body, "Authorized")["status"] == "False"
        assert ACCOUNT in message(body, "Authorized")
    assert condition(scenario.connector(), "Provisioned")["reason"] != "Forbidden"
    assert scenario.writes(since) == []
    assert scenario.onboarded() == ORGANIZATIONS
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1


def assert_discovery_shows_the_loss(scenario: Scenario, choices: Choices) -> None:
    """(b) A discovery run that fails shows a loss that the list of organizations hides, at the price of one request."""
    since = scenario.control.last()
    scenario.control.move(ONE_DAY)
    if value_of(choices, STATE) != "failed":
        scenario.wait_observed()
        scenario.wait_observed()
        assert condition(scenario.connector(), "ReauthRequired")["status"] == "False"
    elif value_of(choices, "tokenExchangeMessage") == "empty":
        scenario.wait("ReauthRequired", "Unknown", "CheckUnavailable", timeout=45)
    else:
        scenario.wait("ReauthRequired", "True", "AuthorizationLost", timeout=45)
    assert set(scenario.writes(since)) <= {"DevOpsConfigurations_Update"}
    assert len(scenario.writes(since)) <= 1


def assert_exclusions_hold(scenario: Scenario, choices: Choices) -> None:
    """(e) Nothing that is excluded is onboarded, from the first request on, and nothing that is wanted is let go."""
    scenario.new_code()
    scenario.apply(selection(scenario, EXCLUDED))
    scenario.wait("Ready", "True", timeout=45)
    scenario.wait_onboarded(*ALL)
    scenario.apply(selection(scenario, EXCLUDED | {LATER_EXCLUDED}))
    if value_of(choices, "inventoryPatch") == "adds":
        # Azure keeps it whatever is requested: that is reported, and requested again only after a while.
        scenario.wait("Provisioned", "False", "Provisioning", timeout=45)
        scenario.wait_until(lambda body: f"still has {LATER_EXCLUDED} onboarded" in message(body, "Provisioned"))
        since = scenario.control.last()
        scenario.wait_observed()
        assert scenario.writes(since) == []
        assert scenario.onboarded() == ALL
    else:
        scenario.wait("Ready", "True", timeout=45)
        scenario.wait_onboarded(*(ALL - {LATER_EXCLUDED}))
    scenario.apply(selection(scenario, EXCLUDED))
    scenario.wait("Ready", "True", timeout=45)
    scenario.wait_onboarded(*ALL)
    lists = [
        None if effect["inventory"] is None else {name.lower() for name in effect["inventory"]}
        for entry in scenario.control.journal(service="arm", effective="true")
        for effect in entry["effects"]
        if effect["kind"] in {"configuration.create", "configuration.update"} and "inventory" in effect
    ]
    assert lists
    for names in lists:
        assert names is not None, "a request without a list onboards everything"
        assert EXCLUDED.isdisjoint(names)
        assert names == set() or names >= ALL - {LATER_EXCLUDED}
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1


def selection(scenario: Scenario, excluded: set[str]) -> Manifest:
    """Return the manifest with mode All and exclusions."""
    return scenario.manifest(organizations={"mode": "All", "names": None, "exclude": sorted(excluded)})


def assert_is_deleted(scenario: Scenario) -> None:
    """(f) The resource goes, and what it created in Azure with it."""
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    wait_for(lambda: scenario.in_azure() is None, "the connector is left in Azure")


def assert_promises(scenario: Scenario, choices: Choices) -> None:
    """A connector's life from the manifest to its deletion, with a lost authorization."""
    scenario.control.variants(**choices)
    assert_becomes_ready(scenario)
    assert_rests(scenario)
    assert_loss_is_noticed(scenario, choices)
    assert_is_deleted(scenario)


AFTER_LOSS = "assessmentsWithoutAuthorization"
POSTURE = [
    choices
    for choices in SINGLES
    if (
        next(iter(choices)).startswith(("assessment", "posture", "resolved", "serviceConnection", "resourceGraphPages"))
        or next(iter(choices)) in {"deletedRepositories", "firstAssessments", "graphLag", "skipTokens", "otherPlans"}
    )
    and AFTER_LOSS not in choices
]
"""Those that concern what Defender found while its authorization works."""
RESULTS_ARE_HIDDEN = ({"assessmentRows": "absent"}, {"assessmentRights": "securityRoles"})
"""Those under which the operator's identity, a Contributor, sees no row."""
FINDINGS = (
    ("contoso", "Critical", "ExposedSecrets"),
    ("contoso", "High", "CodeVulnerabilities"),
    ("fabrikam", "High", ""),
)


@pytest.fixture
def counting(own_scenario: Scenario, run: Callable[..., Operator]) -> tuple[Scenario, Operator]:
    """A scenario with an operator of its own, which counts recommendations every second."""
    return own_scenario, run(posture_interval="1")


def open_findings(body: Manifest) -> int | None:
    """Return the number of open recommendations in a status; None without a number."""
    numbers = ((body.get("status") or {}).get("posture") or {}).get("recommendations")
    return None if numbers is None else sum(numbers.values())


def open_in_azure(scenario: Scenario) -> int:
    """Return the number of open recommendations that the simulated cloud has."""
    rows = scenario.control.assessments(status="Unhealthy", limit=10_000)
    return sum(row["organization"] in ORGANIZATIONS for row in rows)


def metric_sum(operator: Operator, name: str) -> float | None:
    """Return the sum of a metric's samples; None without a sample."""
    page = httpx.get(f"{operator.metrics}/metrics", trust_env=False).text
    lines = [line for line in page.splitlines() if line.startswith(f"defender_devops_{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines) if lines else None


@pytest.mark.long
@pytest.mark.parametrize("choices", POSTURE, ids=label)
def test_findings_are_counted_or_unknown_and_never_zero(counting: tuple[Scenario, Operator], choices: Choices) -> None:
    scenario, operator = counting
    scenario.control.variants(**choices)
    scenario.control.generate_assessments(perRepository=1.5, arrival=7200)
    scenario.ready()
    keys = [
        scenario.control.add_assessment(
            organization=organization, title=f"Finding {number}", severity=severity, category=category
        )
        for number, (organization, severity, category) in enumerate(FINDINGS)
    ]
    if choices in RESULTS_ARE_HIDDEN:
        body = scenario.wait("PostureAvailable", "Unknown", "NoResultsYet", timeout=60)
        assert open_findings(body) is None
        assert metric_sum(operator, "recommendations") is None
        return
    # The first results are there and every delay has passed; from now on nothing changes by itself.
    scenario.control.move(2 * ONE_DAY)
    scenario.control.speed(0)
    number = open_in_azure(scenario)
    assert number >= len(FINDINGS)
    scenario.wait_until(lambda body: open_findings(body) == number, timeout=60)
    scenario.wait("PostureAvailable", "True", "ResultsAvailable", timeout=60)
    assert metric_sum(operator, "recommendations") == number
    scenario.control.resolve_assessment(keys[1])
    scenario.control.move(ONE_DAY)
    number = open_in_azure(scenario)
    scenario.wait_until(lambda body: open_findings(body) == number, timeout=60)


@pytest.mark.long
@pytest.mark.parametrize("form", VARIANTS[AFTER_LOSS].values)
def test_findings_after_a_loss_are_the_last_numbers_and_never_zero(
    counting: tuple[Scenario, Operator], form: str
) -> None:
    scenario, operator = counting
    scenario.control.variants(**{AFTER_LOSS: form})
    scenario.control.generate_assessments(perRepository=1.5)
    scenario.ready()
    scenario.control.move(2 * ONE_DAY)
    scenario.control.speed(0)
    number = open_in_azure(scenario)
    scenario.wait_until(lambda body: open_findings(body) == number, timeout=60)
    scenario.control.change_account(ACCOUNT, blocked=True)
    scenario.control.move(60)
    scenario.control.add_assessment(organization="contoso", title="After the loss", severity="Critical")
    scenario.control.move(2 * ONE_DAY)
    if form == "vanish":
        assert open_in_azure(scenario) == 0
        body = scenario.wait("PostureAvailable", "Unknown", "Incomplete", timeout=60)
        assert open_findings(body) == number
        assert metric_sum(operator, "recommendations") is None
        return
    assert open_in_azure(scenario) == number + (form == "moving")
    body = scenario.wait_until(lambda body: open_findings(body) == open_in_azure(scenario), timeout=60)
    assert condition(body, "PostureAvailable")["status"] != "Unknown"
    assert metric_sum(operator, "recommendations") == open_in_azure(scenario)


@pytest.mark.parametrize("choices", QUICK, ids=label)
def test_the_promises_hold_under_the_variants_that_matter_most(scenario: Scenario, choices: Choices) -> None:
    assert_promises(scenario, choices)


@pytest.mark.long
@pytest.mark.parametrize("choices", SINGLES, ids=label)
def test_the_promises_hold_under_each_variant(scenario: Scenario, choices: Choices) -> None:
    assert_promises(scenario, choices)


def configuration_state(scenario: Scenario) -> str | None:
    """Return the provisioning state of the configuration in Azure; None without one."""
    connector = scenario.in_azure()
    return connector["configuration"]["provisioningState"] if connector and connector["configuration"] else None


def assert_code_is_rejected_once(scenario: Scenario, choices: Choices) -> None:
    """(b) A first code that Defender cannot redeem is no loss, (d) and is sent once; another one makes it Ready."""
    scenario.control.variants(**choices)
    scenario.new_code()
    scenario.control.change_account(ACCOUNT, blocked=True)
    scenario.apply(scenario.manifest())
    wait_for(lambda: configuration_state(scenario) == "Failed", "the code was not rejected", timeout=45)
    scenario.wait_request("AzureDevOpsOrgs_ListAvailable", times=4)
    body = scenario.connector()
    assert condition(body, "Authorized")["status"] != "True"
    assert condition(body, "ReauthRequired")["status"] != "True"
    assert condition(body, "Ready")["status"] != "True"
    if value_of(choices, "tokenExchangeMessage") != "empty":
        assert condition(body, "Authorized")["reason"] == "TokenExchangeFailed"
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 1
    scenario.control.change_account(ACCOUNT, blocked=False)
    scenario.new_code()
    scenario.wait("Ready", "True", timeout=60)
    assert scenario.onboarded() == ORGANIZATIONS
    assert len(scenario.control.journal(operation="DevOpsConfigurations_CreateOrUpdate")) == 2


REJECTIONS: list[Choices] = [
    {"tokenExchangeMessage": form, LOSS: answer}
    for form in VARIANTS["tokenExchangeMessage"].values
    for answer in VARIANTS[LOSS].values
]


@pytest.mark.parametrize("choices", REJECTIONS[:: len(VARIANTS[LOSS].values)], ids=label)
def test_a_code_that_is_not_redeemed_is_no_loss(scenario: Scenario, choices: Choices) -> None:
    assert_code_is_rejected_once(scenario, choices)


@pytest.mark.long
@pytest.mark.parametrize("choices", REJECTIONS, ids=label)
def test_a_code_that_is_not_redeemed_is_no_loss_whatever_the_check_answers(
    scenario: Scenario, choices: Choices
) -> None:
    assert_code_is_rejected_once(scenario, choices)


@pytest.mark.parametrize("choices", EXCLUDING, ids=label)
def test_exclusions_hold_under_the_variants_that_concern_them(scenario: Scenario, choices: Choices) -> None:
    scenario.control.variants(**choices)
    assert_exclusions_hold(scenario, choices)
    assert_is_deleted(scenario)


@pytest.mark.long
@pytest.mark.parametrize("choices", SINGLES, ids=label)
def test_exclusions_hold_under_each_variant(scenario: Scenario, choices: Choices) -> None:
    scenario.control.variants(**choices)
    assert_exclusions_hold(scenario, choices)
    assert_is_deleted(scenario)


@pytest.mark.long
@pytest.mark.parametrize("choices", draw_pairs(), ids=lambda choices: f"seed {SEED}: {label(choices)}")
def test_the_promises_hold_under_pairs_of_variants(scenario: Scenario, choices: Choices) -> None:
    assert_promises(scenario, choices)
