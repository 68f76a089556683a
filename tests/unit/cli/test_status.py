from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from rich.console import Console

from defender_devops.cli.display.formatting import ASCII_MARKS, MARKS, discovery_time, duration_text, table_text
from defender_devops.cli.display.lines import status_lines, status_table
from defender_devops.cli.display.view import Phase, connector_views, orphaned_organizations
from defender_devops.cli.output import Format
from defender_devops.cli.status import run
from defender_devops.cli.status.document import status_document
from defender_devops.cli.status.run import Resources, fit_screen, show_status
from defender_devops.cli.status.tree import TreeRenderer
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


def render(connectors: list[Body], organizations: list[Body], *, width: int = 80, ascii_only: bool = False) -> str:
    """Return the tree as a terminal of that width shows it, without colors."""
    encoding = "ascii" if ascii_only else "utf-8"
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=True, no_color=True, markup=False, highlight=False)
    trees = TreeRenderer(NOW, ASCII_MARKS if ascii_only else MARKS)
    console.print(
        trees.render(connector_views(connectors, organizations), orphaned_organizations(connectors, organizations))
    )
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
    (connector(READY) | {"status": {"observedGeneration": -1}}, Phase.PENDING),
    (connector(READY) | {"status": {}}, Phase.PENDING),
    (connector(READY) | {"status": {"conditions": "broken"}}, Phase.PENDING),
    (
        connector(READY) | {"metadata": {"name": "c", "namespace": "n", "generation": 1, "deletionTimestamp": "now"}},
        Phase.DELETING,
    ),
]


@pytest.mark.parametrize(("body", "phase"), PHASES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_phase_follows_from_the_conditions(body: Body, phase: Phase) -> None:
    assert connector_views([body], [])[0].phase is phase


def test_a_spec_that_is_not_reconciled_yet_is_not_ready() -> None:
    body = connector(READY)
    body["metadata"]["generation"] = 2
    assert not connector_views([body], [])[0].is_ready


def test_the_most_urgent_problem_comes_first_and_is_shown_once() -> None:
    assert [problem.type for problem in connector_views([lost_connector()], [])[0].problems] == ["ReauthRequired"]


def test_discovery_in_progress_is_no_problem_and_a_missed_deadline_is_one() -> None:
    under_way = connector(READY, condition("Discovered", "False", "Discovering", "951 of 1004."))
    late = connector(READY, condition("Discovered", "False", "DeadlineExceeded", "Too late."))
    assert connector_views([under_way], [])[0].problems == ()
    assert [problem.reason for problem in connector_views([late], [])[0].problems] == ["DeadlineExceeded"]


def test_organizations_are_grouped_by_connector_and_orphans_are_separate() -> None:
    bodies = [organization("b"), organization("a"), organization("c", to="gone")]
    assert [view.organization for view in connector_views([connector(READY)], bodies)[0].organizations] == ["a", "b"]
    assert [view.organization for view in orphaned_organizations([connector(READY)], bodies)] == ["c"]


SPANS = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d"), (-5, "0 s")]


@pytest.mark.parametrize(("seconds", "text"), SPANS)
def test_a_duration_is_shown_in_its_largest_unit(seconds: int, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


def moment(minutes: int) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


ESTIMATES = [
    ({"completedAt": moment(-10)}, condition("Discovered"), "completed 10 min ago"),
    ({"deadline": moment(-180)}, None, "overdue by 3 h"),
    ({"deadline": moment(600), "estimatedCompletionAt": moment(25)}, None, "about 25 min left"),
    ({"deadline": moment(600), "estimatedCompletionAt": moment(-25)}, None, "deadline in 10 h"),
    ({}, None, ""),
]


@pytest.mark.parametrize(("status", "discovered", "text"), ESTIMATES)
def test_the_end_of_discovery_is_shown_as_precisely_as_possible(
    status: Body, discovered: Body | None, text: str
) -> None:
    view = connector_views([connector(*([discovered] if discovered else []), discovery=status)], [])[0]
    assert discovery_time(view.discovery, view.condition("Discovered"), NOW) == text


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
    assert render([body], [organization("contoso", **counted), organization("sandbox", aside)]) == (
        "security/contoso  Ready since 3 h  AllAndFuture, westeurope\n"
        "├── ✓ Provisioned  ✓ Authorized  … Discovered\n"
        "├── ━━━━━━━━━━━━━━━━━━━━━━╸   95 % discovered  about 20 min left\n"
        "│   118 of 120 projects, 950 of 1000 repositories\n"
        "└── 2 of 3 organizations onboarded\n"
        "    ├── ✓  contoso  Onboarded  ━━━━━━━━  80 of 80 repositories\n"
        "    └── ·  excluded: sandbox"
    )


def test_a_lost_authorization_is_shown_with_the_cure_and_the_command() -> None:
    output = render([lost_connector()], [])
    assert "Action required since 3 min" in output
    assert "ReauthRequired: AuthorizationLost" in output
    assert "kubectl defender-devops authorize security/contoso" in output
    assert output.count("can no longer work") == 1


def test_the_most_urgent_connector_comes_first() -> None:
    output = render([connector(READY, name="aaa"), lost_connector()], [])
    assert output.index("security/contoso") < output.index("security/aaa")


def test_no_line_is_wider_than_the_terminal() -> None:
    long = "x" * 300
    unmet = [{"check": "AccessLevel", "status": "False", "reason": "InsufficientAccessLevel", "message": long}]
    bodies = [organization("o" * 50, HELD), organization("contoso", prerequisites=unmet)]
    body = connector(READY, condition("SignedIn", "False", "SignInRequired", long))
    for width in (80, 120):
        assert max(map(len, render([body], bodies, width=width).splitlines())) <= width


def test_a_terminal_without_unicode_gets_ascii_marks() -> None:
    output = render([connector(READY, condition("Provisioned"))], [organization("contoso")], ascii_only=True)
    assert output.isascii()
    assert "+ Provisioned" in output


def test_text_in_brackets_is_no_markup() -> None:
    body = connector(READY, condition("SignedIn", "False", "SignInRequired", "[red]open[/red] [the page]"))
    assert "[red]open[/red] [the page]" in render([body], [])


def test_of_many_organizations_only_those_with_problems_are_shown() -> None:
    output = render([connector(READY)], [organization(f"org-{n:02}") for n in range(30)] + [organization("bad", HELD)])
    assert "30 more without problems" in output
    assert "bad" in output
    assert "org-07" not in output


def test_a_message_of_an_organization_is_not_repeated_by_its_connector() -> None:
    conflict = condition("OrganizationsAvailable", "False", "OrganizationConflict", "Another holds fabrikam.")
    body = connector(READY, conflict)
    assert "Another holds fabrikam." in render([body], [])
    output = render([body], [organization("fabrikam", HELD)])
    assert "Another holds fabrikam." not in output
    assert "fabrikam is held by another connector." in output


def test_an_organization_without_a_connector_is_shown_separately() -> None:
    missing = condition("Ready", "False", "ConnectorNotFound", "There is no connector gone.")
    output = render([], [organization("contoso", missing, to="gone")])
    assert output.startswith("Organizations without a connector\n")
    assert "There is no connector gone." in output


def test_each_line_begins_with_the_name_of_its_resource() -> None:
    body = connector(
        READY,
        condition("SignedIn", "False", "SignInRequired", "Open the page."),
        discovery=discovery((1, None), (9, None), organizations={"available": 6, "onboarded": 2, "conflicting": 1}),
    )
    output = list(status_lines(connector_views([body], [organization("fabrikam", HELD)])))
    assert output == [
        (
            "security/contoso: Ready; 2 of 6 organizations onboarded, 1 onboarded by another connector, "
            "1 project, 9 repositories"
        ),
        "security/contoso: SignedIn=False SignInRequired: Open the page.",
        "security/contoso/fabrikam: In progress (HeldByOtherConnector); fabrikam is held by another connector.",
    ]


NONE: Body = {"critical": 0, "high": 0, "medium": 0, "low": 0, "other": 0}
POSTURE: Body = {
    "findings": "2C 14H",
    "recommendations": {**NONE, "critical": 2, "high": 14},
    "affectedRepositories": 9,
    "coverage": {
        "secrets": "NotScanned",
        "api": "NotScanned",
        "code": "Partial",
        "dependencies": "Unknown",
        "new": "X",
    },
}
POSTURES: list[tuple[Body, str]] = [
    (POSTURE, "2 critical, 14 high findings in 9 repositories"),
    ({"recommendations": {**NONE, "low": 1}, "affectedRepositories": 1}, "1 low finding in 1 repository"),
    ({"recommendations": {**NONE, "other": 3}, "affectedRepositories": 0}, "3 other findings"),
    ({"recommendations": NONE}, "no findings"),
    ({"coverage": {"code": "Scanned"}}, "no results of Defender for Cloud yet"),
]


@pytest.mark.parametrize(("posture", "text"), POSTURES)
def test_findings_are_counted_in_every_form(posture: Body, text: str) -> None:
    bodies, organizations = [connector(READY, posture=posture)], [organization("contoso", posture=posture)]
    lines = list(status_lines(connector_views(bodies, organizations)))
    assert lines[1].startswith(f"security/contoso: {text}")
    assert lines[2].endswith(f"; {text}")
    assert text in render(bodies, organizations)


def test_kinds_of_finding_that_are_not_scanned_are_shown() -> None:
    text = "not scanned: secrets, api; partly scanned: code; not known whether scanned: dependencies"
    bodies = [connector(READY, posture=POSTURE)]
    assert list(status_lines(connector_views(bodies, [])))[1].endswith(f"; {text}")
    assert f"│   {text}" in render(bodies, [organization("contoso", posture=POSTURE)], width=120)
    assert "scanned" not in render([connector(READY, posture={"recommendations": NONE})], [])


def test_a_table_has_the_findings_where_some_were_counted() -> None:
    bodies = [connector(READY, posture=POSTURE), connector(READY, name="other")]
    head, first, second = status_table(connector_views(bodies, []))
    assert (head[-1], first[-1], second[-1]) == ("FINDINGS", "2C 14H", "")
    (head,) = status_table([])
    assert head[-1] == "REASON"


@pytest.mark.parametrize(("reason", "mark"), [("NoResultsYet", "…"), ("Disabled", "·"), ("QueryDenied", "?")])
def test_results_that_only_take_time_are_no_problem(reason: str, mark: str) -> None:
    body = connector(READY, condition("PostureAvailable", "Unknown", reason, "Why."))
    assert f"{mark} PostureAvailable" in render([body], [])
    (view,) = connector_views([body], [])
    assert [problem.reason for problem in view.problems] == (["QueryDenied"] if reason == "QueryDenied" else [])


def _states(missing: int, undecided: int = 0, ran: int = 28, **more: int) -> Body:
    states = {"ran": ran, "configured": 0, "coveredOtherwise": 0, "undecided": undecided, "missing": missing}
    return {"repositories": {**states, "notApplicable": 7}, **more}


PIPELINES = [
    (_states(12), "12 of 40 repositories not scanned"),
    (_states(1, ran=0), "1 of 1 repository not scanned"),
    (_states(0), "all 28 repositories scanned, or configured to be"),
    (_states(12, 3), "12 of 43 repositories not scanned, 3 undecided"),
    (_states(0, 3), "0 of 31 repositories not scanned, 3 undecided"),
    (_states(0, ran=0), "no repositories to scan"),
    (_states(0, ranWithoutResults=2), "all 28 repositories scanned, or configured to be, 2 scanned without results"),
    (_states(0, ranWithoutResults=0), "all 28 repositories scanned, or configured to be"),
]


@pytest.mark.parametrize(("pipelines", "text"), PIPELINES)
def test_repositories_that_are_not_scanned_are_counted_in_every_form(pipelines: Body, text: str) -> None:
    bodies, organizations = [connector(READY)], [organization("contoso", pipelines=pipelines)]
    lines = list(status_lines(connector_views(bodies, organizations)))
    assert lines[1] == f"security/contoso: {text}"
    assert lines[2].endswith(f"; {text}")
    assert text in render(bodies, organizations)


def test_repositories_of_all_checked_organizations_are_added() -> None:
    organizations = [
        organization("a", pipelines=_states(1, 2)),
        organization("b", pipelines=_states(3)),
        organization("c"),
        organization("d", pipelines={}),
    ]
    lines = list(status_lines(connector_views([connector(READY)], organizations)))
    assert lines[1] == "security/contoso: 4 of 62 repositories not scanned, 2 undecided"
    assert "scanned" not in lines[4] + lines[5]
    assert "scanned" not in "".join(status_lines(connector_views([connector(READY)], organizations[2:])))


def test_the_table_has_a_row_for_each_connector() -> None:
    body = connector(READY, condition("Authorized"), discovery=discovery((1, 2), (9, 10), percent=90))
    head, *rows = status_table(connector_views([body, connector(name="new")], []))
    assert head == ("CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON")
    assert rows == [
        ("security/contoso", "True", "True", "", "9", "90 %", "Ready"),
        ("security/new", "", "", "", "", "", ""),
    ]


def test_the_document_nests_organizations_with_the_fields_of_the_resources() -> None:
    body = connector(READY)
    body["metadata"]["managedFields"] = [{}]
    orphan = organization("c", to="gone")
    result = status_document([body], [organization("b"), organization("a"), orphan])
    assert [body["spec"]["organization"] for body in result["connectors"][0]["organizations"]] == ["a", "b"]
    assert result["connectors"][0]["status"]["conditions"][0]["type"] == "Ready"
    assert "managedFields" not in result["connectors"][0]["metadata"]
    assert [body["metadata"]["name"] for body in result["organizationsWithoutConnector"]] == ["gone-c"]


def test_the_table_fits_80_columns_and_breaks_no_word() -> None:
    """A name that is too long for its column gets a line of its own."""
    reason = condition("Ready", "False", "InsufficientAccessLevel")
    names = ["contoso", "contoso-international-subsidiary-of-the-north"]
    bodies = [connector(reason, condition("Authorized", "Unknown"), name=name) for name in names]
    lines = list(table_text(status_table(connector_views(bodies, [])), 80))
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON"]
    assert f"security/{names[1]}" in lines
    assert sum("InsufficientAccessLevel" in line for line in lines) == 2


def test_a_table_that_is_not_for_a_terminal_has_one_line_for_each_connector() -> None:
    bodies = [connector(READY, name="x" * 63) for _ in range(3)]
    assert len(list(table_text(status_table(connector_views(bodies, [])), None))) == 4


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (connector(READY, spec={"suspend": True}), "security/contoso  Suspended  AllAndFuture"),
        (connector(READY) | {"status": {"conditions": [READY]}}, "security/contoso  Not reconciled yet  AllAndFuture"),
        (
            connector(READY) | {"metadata": {**connector()["metadata"], "deletionTimestamp": moment(-3)}},
            "security/contoso  Deleting since 3 min  AllAndFuture",
        ),
    ],
    ids=["suspended", "not reconciled", "deleting"],
)
def test_the_time_of_another_state_is_not_shown(body: Body, title: str) -> None:
    """Condition Ready keeps its time while a connector is suspended, so that time is not that of the suspension."""
    assert render([body], []).startswith(title)


@pytest.mark.parametrize("height", [6, 12, 30])
def test_a_watched_tree_is_not_higher_than_the_screen(height: int) -> None:
    bodies = [connector(READY, name=f"c-{number:02}") for number in range(20)]
    organizations = [organization(f"org-{number:02}", HELD, to="c-07") for number in range(40)]
    screen = Console(width=80, height=height, force_terminal=True, no_color=True, file=io.StringIO())
    screen.print(fit_screen(Resources(bodies, organizations), screen, None))
    lines = _without_codes(screen.file.getvalue()).splitlines()  # type: ignore[attr-defined]
    assert len(lines) == height - 1
    assert lines[-1].rstrip().endswith("more lines. 20 of 20 connectors ready, 40 organizations with problems.")


def test_a_watched_tree_that_fits_is_complete() -> None:
    screen = Console(width=80, height=40, force_terminal=True, no_color=True, file=io.StringIO())
    screen.print(
        fit_screen(Resources([connector(READY)], [organization(f"o-{n}") for n in range(20)]), screen, "contoso")
    )
    output = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "o-19" in output
    assert "more lines" not in output


HOSTILE = "a\x1b[31m\u202eb\x9b1m\x07c"


@pytest.mark.parametrize("form", [None, Format.TABLE, Format.JSON, Format.YAML])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_values_from_outside_cannot_control_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, form: Format | None, is_terminal: bool
) -> None:
    ready = condition("Ready", "False", "Hostile", HOSTILE)
    unmet = [{"check": "AccessLevel", "status": "False", "reason": "R", "message": HOSTILE}]
    bodies = [
        connector(ready, condition("Authorized", "False", "Hostile", HOSTILE), spec={"azure": {"location": HOSTILE}})
    ]
    resources = Resources(bodies, [organization(HOSTILE, prerequisites=unmet), organization("b", to=HOSTILE)])
    screen = Console(width=80, force_terminal=is_terminal, no_color=True, color_system=None, markup=False)
    monkeypatch.setattr(run, "console", lambda: screen)
    show_status(resources, None, form)
    output = _without_codes(capsys.readouterr().out)
    assert "Hostile" in output
    assert not {"\x1b", "\u202e", "\x9b", "\x07"} & set(output)
