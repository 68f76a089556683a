from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from rich.console import Console

from defender_devops.cli.status.document import document
from defender_devops.cli.status.lines import lines, table
from defender_devops.cli.status.tree import Trees
from defender_devops.cli.status.view import Phase, views, without_connector
from defender_devops.cli.status.words import ASCII_MARKS, MARKS, ago, estimate
from tests.unit.cli.bodies import NOW, Body, condition, connector, discovery, organization

READY = condition("Ready")
LOST = "Defender for Cloud can no longer work under mdc@contoso.com."
HELD = condition("Ready", "False", "HeldByOtherConnector", "fabrikam is held by another connector.")


def lost_connector() -> Body:
    return connector(
        condition("Ready", "False", "AuthorizationLost", LOST, minutes=3),
        condition("Stalled", "True", "AuthorizationLost", LOST),
        condition("Provisioned"),
        condition("Authorized", "False", "AuthorizationLost", LOST),
        condition("ReauthRequired", "True", "AuthorizationLost", LOST),
        signIn={"url": "https://signin.example/connectors/u/s"},
    )


def drawn(connectors: list[Body], organizations: list[Body], *, width: int = 80, ascii_only: bool = False) -> str:
    """The tree as a terminal of that width shows it, without colours."""
    encoding = "ascii" if ascii_only else "utf-8"
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, no_color=True, markup=False, highlight=False)
    trees = Trees(NOW, ASCII_MARKS if ascii_only else MARKS)
    console.print(trees.draw(views(connectors, organizations), without_connector(connectors, organizations)))
    file.flush()
    file.seek(0)
    return "\n".join(line.rstrip() for line in _without_codes(file.read()).splitlines())


def _without_codes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


PHASES = [
    (connector(READY), Phase.READY),
    (connector(condition("Ready", "False"), condition("Reconciling")), Phase.WORKING),
    (connector(condition("Ready", "False"), condition("Stalled")), Phase.STALLED),
    (connector(READY, spec={"suspend": True}), Phase.SUSPENDED),
    (connector(), Phase.WORKING),
    (connector(READY) | {"status": {"observedGeneration": -1}}, Phase.UNSEEN),
    (connector(READY) | {"status": {}}, Phase.UNSEEN),
    (connector(READY) | {"status": {"conditions": "broken"}}, Phase.UNSEEN),
    (
        connector(READY) | {"metadata": {"name": "c", "namespace": "n", "generation": 1, "deletionTimestamp": "now"}},
        Phase.DELETING,
    ),
]


@pytest.mark.parametrize(("body", "phase"), PHASES, ids=lambda each: each if isinstance(each, str) else "")
def test_a_connector_stands_as_its_conditions_say(body: Body, phase: Phase) -> None:
    assert views([body], [])[0].phase is phase


def test_a_spec_that_nobody_has_looked_at_yet_is_not_ready() -> None:
    body = connector(READY)
    body["metadata"]["generation"] = 2
    assert not views([body], [])[0].is_ready


def test_what_a_person_must_do_comes_first_and_is_said_once() -> None:
    assert [each.type for each in views([lost_connector()], [])[0].problems] == ["ReauthRequired"]


def test_discovery_under_way_is_no_problem_and_a_missed_deadline_is() -> None:
    under_way = connector(READY, condition("Discovered", "False", "Discovering", "951 of 1004."))
    late = connector(READY, condition("Discovered", "False", "DeadlineExceeded", "Too late."))
    assert views([under_way], [])[0].problems == ()
    assert [each.reason for each in views([late], [])[0].problems] == ["DeadlineExceeded"]


def test_organizations_stand_with_their_connector_and_the_others_apart() -> None:
    bodies = [organization("b"), organization("a"), organization("c", to="gone")]
    assert [each.organization for each in views([connector(READY)], bodies)[0].organizations] == ["a", "b"]
    assert [each.organization for each in without_connector([connector(READY)], bodies)] == ["c"]


SPANS = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d"), (-5, "0 s")]


@pytest.mark.parametrize(("seconds", "words"), SPANS)
def test_a_span_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    assert ago(timedelta(seconds=seconds)) == words


def moment(minutes: int) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


ESTIMATES = [
    ({"completedAt": moment(-10)}, condition("Discovered"), "complete since 10 min"),
    ({"deadline": moment(-180)}, None, "late since 3 h"),
    ({"deadline": moment(600), "estimatedCompletionAt": moment(25)}, None, "about 25 min left"),
    ({"deadline": moment(600), "estimatedCompletionAt": moment(-25)}, None, "deadline in 10 h"),
    ({}, None, ""),
]


@pytest.mark.parametrize(("told", "discovered", "words"), ESTIMATES)
def test_the_end_of_discovery_is_told_as_well_as_it_is_known(told: Body, discovered: Body | None, words: str) -> None:
    view = views([connector(*([discovered] if discovered else []), discovery=told)], [])[0]
    assert estimate(view.discovery, view.condition("Discovered"), NOW) == words


def test_the_tree_shows_a_connector_at_80_columns() -> None:
    body = connector(
        READY,
        condition("Provisioned"),
        condition("Authorized"),
        condition("Discovered", "False", "Discovering"),
        discovery=discovery(
            (118, 120),
            (950, 1000),
            percent=95,
            organizations={"available": 3, "onboarded": 2},
            estimatedCompletionAt=moment(20),
        ),
    )
    aside = condition("Ready", reason="Excluded")
    counted = discovery((10, 10), (80, 80))
    assert drawn([body], [organization("contoso", **counted), organization("sandbox", aside)]) == (
        "security/contoso  Ready since 3 h  AllAndFuture, westeurope\n"
        "├── ✓ Provisioned  ✓ Authorized  … Discovered\n"
        "├── ━━━━━━━━━━━━━━━━━━━━━━╸   95 % discovered  about 20 min left\n"
        "│   118 of 120 projects, 950 of 1000 repositories\n"
        "└── 2 of 3 organizations onboarded\n"
        "    ├── ✓  contoso  Onboarded  ━━━━━━━━  80 of 80 repositories\n"
        "    └── ·  left out: sandbox"
    )


def test_a_lost_authorization_says_what_to_do_and_where() -> None:
    shown = drawn([lost_connector()], [])
    assert "Needs a person since 3 min" in shown
    assert "ReauthRequired: AuthorizationLost" in shown
    assert "kubectl defender-devops authorize security/contoso" in shown
    assert shown.count("can no longer work") == 1


def test_the_most_urgent_connector_comes_first() -> None:
    shown = drawn([connector(READY, name="aaa"), lost_connector()], [])
    assert shown.index("security/contoso") < shown.index("security/aaa")


def test_no_line_is_longer_than_the_terminal_is_wide() -> None:
    long = "x" * 300
    unmet = [{"check": "AccessLevel", "status": "False", "reason": "InsufficientAccessLevel", "message": long}]
    bodies = [organization("o" * 50, HELD), organization("contoso", prerequisites=unmet)]
    body = connector(READY, condition("SignedIn", "False", "SignInRequired", long))
    for width in (80, 120):
        assert max(map(len, drawn([body], bodies, width=width).splitlines())) <= width


def test_a_terminal_without_unicode_gets_plain_marks() -> None:
    shown = drawn([connector(READY, condition("Provisioned"))], [organization("contoso")], ascii_only=True)
    assert shown.isascii()
    assert "+ Provisioned" in shown


def test_words_in_brackets_are_no_markup() -> None:
    body = connector(READY, condition("SignedIn", "False", "SignInRequired", "[red]open[/red] [the page]"))
    assert "[red]open[/red] [the page]" in drawn([body], [])


def test_of_many_organizations_only_those_that_are_not_well_are_drawn() -> None:
    shown = drawn([connector(READY)], [organization(f"org-{n:02}") for n in range(30)] + [organization("bad", HELD)])
    assert "30 more, all well" in shown
    assert "bad" in shown
    assert "org-07" not in shown


def test_what_an_organization_says_in_full_its_connector_does_not_repeat() -> None:
    conflict = condition("OrganizationsAvailable", "False", "OrganizationConflict", "Another holds fabrikam.")
    body = connector(READY, conflict)
    assert "Another holds fabrikam." in drawn([body], [])
    shown = drawn([body], [organization("fabrikam", HELD)])
    assert "Another holds fabrikam." not in shown
    assert "fabrikam is held by another connector." in shown


def test_an_organization_without_its_connector_is_drawn_apart() -> None:
    missing = condition("Ready", "False", "ConnectorNotFound", "There is no connector gone.")
    shown = drawn([], [organization("contoso", missing, to="gone")])
    assert shown.startswith("Organizations without a connector\n")
    assert "There is no connector gone." in shown


def test_each_line_names_what_it_is_about() -> None:
    body = connector(
        READY,
        condition("SignedIn", "False", "SignInRequired", "Open the page."),
        discovery=discovery((1, None), (9, None), organizations={"available": 6, "onboarded": 2, "conflicting": 1}),
    )
    shown = list(lines(views([body], [organization("fabrikam", HELD)])))
    assert shown == [
        (
            "security/contoso: Ready; 2 of 6 organizations onboarded, 1 held by another connector, 1 project, "
            "9 repositories"
        ),
        "security/contoso: SignedIn=False SignInRequired: Open the page.",
        "security/contoso/fabrikam: In progress (HeldByOtherConnector); fabrikam is held by another connector.",
    ]


def test_the_table_has_a_row_for_each_connector() -> None:
    body = connector(READY, condition("Authorized"), discovery=discovery((1, 2), (9, 10), percent=90))
    head, *rows = table(views([body, connector(name="new")], []))
    assert head == ("CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON")
    assert rows == [
        ("security/contoso", "True", "True", "", "9", "90 %", "Ready"),
        ("security/new", "", "", "", "", "", ""),
    ]


def test_the_document_holds_each_connector_with_its_organizations_in_the_resources_own_fields() -> None:
    body = connector(READY)
    body["metadata"]["managedFields"] = [{}]
    orphan = organization("c", to="gone")
    made = document([body], [organization("b"), organization("a"), orphan])
    assert [each["spec"]["organization"] for each in made["connectors"][0]["organizations"]] == ["a", "b"]
    assert made["connectors"][0]["status"]["conditions"][0]["type"] == "Ready"
    assert "managedFields" not in made["connectors"][0]["metadata"]
    assert [each["metadata"]["name"] for each in made["organizationsWithoutConnector"]] == ["gone-c"]
