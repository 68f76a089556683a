"""Every rule both ways, as the models check it; the table is also put to the API server (tests/system/crds)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from defender_devops.api.connector import parse_connector
from defender_devops.api.names import CONNECTOR
from defender_devops.api.organization import parse_organization
from defender_devops.api.schema.model import ApiModel
from defender_devops.api.schema.parsing import InvalidManifest
from tests.support.manifests import ACCEPTED, REFUSED, Accepted, Refused


def parse(body: Mapping[str, Any]) -> ApiModel:
    return parse_connector(body) if body["kind"] == CONNECTOR.kind else parse_organization(body)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_an_invalid_manifest_is_rejected_with_the_field_and_the_message(case: Refused) -> None:
    with pytest.raises(InvalidManifest) as error:
        parse(case.body)
    assert error.value.fields == (case.field,)
    assert case.sentence in error.value.message


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_a_valid_manifest_is_parsed(case: Accepted) -> None:
    parse(case.body)


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_a_dumped_model_is_parsed_equal(case: Accepted) -> None:
    first = parse(case.body)
    assert parse(first.dump()) == first
