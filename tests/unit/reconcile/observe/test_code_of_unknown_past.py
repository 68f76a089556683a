"""A code that may have been sent before, which no status records, is not sent beside an authorization that works."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from tests.unit.reconcile.builder import NEW_CODE, SPENT_CODE, snapshot
from tests.unit.reconcile.cases import CODE

CHANGED_IN_AZURE = datetime(2026, 2, 28, tzinfo=UTC)
OLDER_STATUS = f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}"
LOST = "azure: {probe: {reason: TokenExchangeFailed, message: revoked, terminal: true, code: TokenExchangeFailed}}"


def world(unobserved_since: datetime | None, *fragments: str) -> ConnectorSnapshot:
    """A connector whose status records an older code, with a new code in its Secret."""
    initial = snapshot(CODE, "code: new", OLDER_STATUS, *fragments)
    assert initial.cloud.configuration is not None
    configuration = replace(initial.cloud.configuration, status_updated_at=CHANGED_IN_AZURE)
    return replace(
        initial,
        cloud=replace(initial.cloud, configuration=configuration),
        code=replace(initial.code, unobserved_since=unobserved_since),
    )


@pytest.mark.parametrize(
    ("stored_after", "sent"), [(timedelta(hours=-1), None), (timedelta(0), None), (timedelta(seconds=1), NEW_CODE)]
)
def test_a_code_stored_before_azures_last_change_may_be_the_one_that_made_it(
    stored_after: timedelta, sent: str | None
) -> None:
    assert Assessment(world(CHANGED_IN_AZURE + stored_after)).unused_code_hash == sent


def test_a_code_that_was_put_there_while_the_operator_ran_is_sent() -> None:
    assert Assessment(world(None)).unused_code_hash == NEW_CODE


def test_a_lost_authorization_takes_every_code() -> None:
    assert Assessment(world(CHANGED_IN_AZURE - timedelta(hours=1), LOST)).unused_code_hash == NEW_CODE
