"""The environment variables that the chart sets are the settings of the operator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.settings import Settings
from tests.support.chart.helm import CHART, NAMESPACE, VALUES, render


def environment(values: Path) -> dict[str, str]:
    """Variables of the container, with fieldRefs resolved as by the kubelet."""
    deployment = next(m for m in render("--values", values) if m["kind"] == "Deployment")
    entries: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return {entry["name"]: entry.get("value", NAMESPACE) for entry in entries}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_variable_is_a_setting_and_is_accepted(values: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {k: v for k, v in environment(values).items() if k.startswith("DEFENDER_DEVOPS_")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        assert name.removeprefix("DEFENDER_DEVOPS_").lower() in Settings.model_fields, name
    settings = Settings()
    assert settings.namespace == NAMESPACE
    chart_values = yaml.safe_load(values.read_text())
    assert settings.namespaces == tuple(chart_values.get("watchNamespaces", ()))
    grants = [grant.model_dump(mode="json", by_alias=True, exclude_none=True) for grant in settings.identity_grants]
    assert grants == chart_values.get("identityGrants", [])


def test_default_values_equal_the_defaults_of_the_settings() -> None:
    settings = yaml.safe_load((CHART / "values.yaml").read_text())["settings"]
    for key, value in settings.items():
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()
        assert Settings.model_fields[name].default == value, key
