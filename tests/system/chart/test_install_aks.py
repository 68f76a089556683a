"""docs/install-aks.md on the sandbox: every command is run as a reader would, and the connector becomes Ready.

The stand-ins are `az` and `docker`, the wait for a node to start the pod, and the person in the portal (step 6).
"""

from __future__ import annotations

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import KubernetesClient
from sandbox.stack import Cloud
from tests.support.chart.install_page import PAGE
from tests.support.pages import shell_blocks
from tests.support.scenarios.scenario import ACCOUNT, KIND
from tests.system.chart.conftest import AZURE, TEAM, Follow

pytestmark = pytest.mark.early


def test_a_reader_of_the_page_has_a_ready_connector_with_a_sign_in_page(
    api: KubernetesClient, trusting_cloud: Cloud, follow: Follow
) -> None:
    with ControlClient(trusting_cloud.control) as control:
        control.reset()
        control.add_connector(name="contoso", account=ACCOUNT, organizations=None, **AZURE)  # step 6, in the portal
        outputs = follow(shell_blocks(PAGE))
    connector = api.get(KIND, "contoso", TEAM)
    assert connector is not None
    adopted = next(output for block, output in outputs if block.heading.startswith("7."))
    assert "azuredevopsconnector.defender-devops.io/contoso condition met" in adopted
    assert outputs[-1][1].splitlines()[-1] == connector["status"]["signIn"]["url"]
