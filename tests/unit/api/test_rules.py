"""Every rule both ways, as the models check it; tests/system/test_crds.py puts the same table to the API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from defender_devops.api.connector import parse_connector
from defender_devops.api.model import ApiModel
from defender_devops.api.names import CONNECTOR
from defender_devops.api.organization import parse_organization
from defender_devops.api.parsing import InvalidManifest
from tests.support.manifests import ACCEPTED, REFUSED, Accepted, Refused


def parse(body: Mapping[str, Any]) -> ApiModel:
    return parse_connector(body) if body["kind"] == CONNECTOR.kind else parse_organization(body)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_manifest_that_breaks_a_rule_is_refused_with_the_field_and_the_sentence(case: Refused) -> None:
    with pytest.raises(InvalidManifest) as refusal:
        parse(case.body)
    assert refusal.value.fields == (case.field,)
    assert case.sentence in refusal.value.message


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_a_manifest_that_breaks_no_rule_is_read(case: Accepted) -> None:
    parse(case.body)


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_what_was_read_and_dumped_reads_back_equal(case: Accepted) -> None:
    first = parse(case.body)
    assert parse(first.dump()) == first
