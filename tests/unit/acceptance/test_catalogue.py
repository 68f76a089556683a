"""Every behaviour of docs/sandbox.md is observed by a check, or it is listed why nobody can observe it."""

from __future__ import annotations

import re

import pytest

from acceptance.behaviours import behaviours, find_behaviour
from acceptance.checks import Check, Observation, Verdict
from acceptance.command import all_probes
from acceptance.invisible import INVISIBLE, INVISIBLE_VARIANTS
from sandbox.cloud.variants import VARIANTS

CHECKS: list[Check] = [check for probe in all_probes(write=True) for check in probe.checks]


def test_every_behaviour_is_observed_or_has_a_reason_why_not() -> None:
    observed = {find_behaviour(check.row) for check in CHECKS}
    with_reason = {find_behaviour(beginning) for beginning in INVISIBLE}
    assert len(with_reason) == len(INVISIBLE)
    assert not observed & with_reason
    missing = [behaviour.text for behaviour in behaviours() if behaviour not in observed | with_reason]
    assert missing == [], "add a check to acceptance/probes, or a reason to acceptance/invisible.py"


def test_every_variant_is_observed_or_has_a_reason_why_not() -> None:
    observed = {check.variant for check in CHECKS if check.variant}
    assert not observed & INVISIBLE_VARIANTS.keys()
    assert observed | INVISIBLE_VARIANTS.keys() == VARIANTS.keys()


@pytest.mark.parametrize("check", [check for check in CHECKS if check.variant], ids=lambda check: check.variant)
def test_the_behaviour_of_a_check_names_its_variant(check: Check) -> None:
    assert check.variant in re.findall(r"`(\w+)`", find_behaviour(check.row).mark)


def test_a_probe_that_changes_something_says_so_and_runs_with_write_only() -> None:
    assert [probe.name for probe in all_probes(write=False) if probe.changes] == []
    assert [probe.name for probe in all_probes(write=True) if probe.changes] == ["changes"]
    names = [probe.name for probe in all_probes(write=True)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("observation", "verdict"),
    [
        (Observation("ten", ""), Verdict.AGREES),
        (Observation("hundred", ""), Verdict.DIFFERS),
        (Observation("hundred", "", ("all",)), Verdict.DIFFERS),
        (Observation("ten", "", ("all",)), Verdict.UNKNOWN),
        (Observation("all", "", ("ten",)), Verdict.UNKNOWN),
    ],
)
def test_only_evidence_that_allows_nothing_else_agrees(observation: Observation, verdict: Verdict) -> None:
    assert observation.verdict("ten") is verdict
