"""The sign-in's metrics."""

from __future__ import annotations

import re

import httpx

from sandbox.demo.browser import Browser
from tests.support.scenarios.scenario import ACCOUNT
from tests.support.scenarios.sign_in_scenario import PASSWORD, SignInScenario
from tests.system.signin.conftest import Stage

AREAS = {
    "accounts",
    "OrganizationPolicy",
    "connectionData",
    "extensionmanagement",
    "git",
    "graph",
    "identities",
    "profile",
    "projects",
    "userentitlements",
}


def test_requests_to_azure_devops_are_counted_by_area_and_status(scenario: SignInScenario, stage: Stage) -> None:
    scenario.connect()
    with Browser(scenario.ca) as browser:
        browser.open(scenario.address())
        browser.press("Sign in with Microsoft")
        browser.press("Sign in", loginfmt=ACCOUNT, passwd=PASSWORD)
        if "Accept" in browser.text:
            browser.press("Accept")
        browser.press("Submit")
    scenario.wait_until(lambda body: "expected" in body["status"].get("discovery", {}).get("repositories", {}))
    with httpx.Client(trust_env=False) as http:
        text = http.get(f"{stage.operator.metrics}/metrics").text
    series = r'^defender_devops_azure_devops_requests_total\{area="(\w+)",code="(\w+)"\} \S+$'
    counted = set(re.findall(series, text, re.MULTILINE))
    assert {("git", "200"), ("projects", "200"), ("userentitlements", "200")} <= counted
    assert {area for area, _ in counted} <= AREAS
