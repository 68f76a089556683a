"""Who creates and authorizes the connector, when the one-time code is spent, and what waits for that."""

from __future__ import annotations

import pytest

from defender_devops.api.azure_types import AutoDiscovery
from defender_devops.api.names import hierarchy_identifier
from defender_devops.reconcile.actions.azure import Authorize, CreateConnector
from defender_devops.reconcile.actions.kubernetes import RecordCodeHash, RecordManagedTags
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.plan import plan
from tests.unit.reconcile.builder import CONNECTOR_ID, NEW_CODE, NOW, SPENT_CODE, UID, snapshot
from tests.unit.reconcile.cases import (
    ABSENT,
    CODE,
    CREATE,
    EVERYTHING,
    FRESH,
    LISTED,
    NO_CONFIGURATION,
    OBSERVE,
    OWN,
    SELECTED,
    SPEND,
    Case,
    authorize,
    change,
    only,
    planned,
    remember,
    tag,
)
from tests.unit.reconcile.condition_cases import WHO

NEW, SPENT, REFUSED = "code: new", "code: spent", "code: refused"
KNOWN = f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}"
"""Status says that the spent code was sent."""

ALL = "spec: {organizations: {mode: All}}"
EXCLUDE = "spec: {organizations: {exclude: [fabrikam]}}"
UNMANAGED = "azure: {owner: nobody}"
UNAUTHORIZED = "azure: {configuration: null, organizations: null}"
EXCHANGE_FAILED = (
    "azure: {configuration: {state: Failed, message: 'AzureDevOps token exchange failed: InvalidOAuthCode'},"
    " organizations: null, available: none}"
)
LOST = "azure: {probe: {reason: TokenExchangeFailed, message: revoked, terminal: true, code: TokenExchangeFailed}}"
WITHOUT_RIGHTS = "azure: {probe: {reason: Forbidden, message: no right, terminal: true, code: AuthorizationFailed}}"
PENDING = "azure: {configuration: {state: Pending}, organizations: null, available: unknown}"
FIRST = "status: {authorization: null}"
"""Nobody has seen the authorization work yet, and no code was sent."""

CASES = [
    Case(
        "a new code renews what works though only another code was sent before",
        (CODE, NEW, f"status: {{authorization: {{codeHash: {SPENT_CODE}, lastAuthorizedAt: null}}}}"),
        (SPEND, authorize(EVERYTHING)),
    ),
    Case(
        "a renewal names whom only the new authorization may see, but nobody whom another connector holds",
        (
            CODE,
            NEW,
            KNOWN,
            LISTED,
            "spec: {organizations: {mode: Selected, names: [contoso, northwind, tailspin]}}",
            "azure: {organizations: {fabrikam: null}, others: {tailspin: Held}}",
            "resources: {northwind: {}, tailspin: {}}",
        ),
        (SPEND, authorize(only("contoso", "northwind"))),
    ),
    Case(
        "a new code leaves the scanning that nobody manages as it is",
        (CODE, NEW, KNOWN, "azure: {configuration: {agentless: {scanners: [bandit]}}}"),
        (SPEND, authorize(f"{EVERYTHING}; agentless scanning on")),
    ),
    # nothing in Azure
    Case("Adopt waits for a person", (ABSENT,)),
    Case("Adopt waits for a person, from the start", (ABSENT, FRESH)),
    Case("Adopt makes nothing even where a code lies about", (ABSENT, FRESH, NEW)),
    Case("Code creates and authorizes", (ABSENT, FRESH, CODE, NEW), (CREATE, SPEND, authorize(EVERYTHING))),
    Case(
        "Code with All takes all existing",
        (ABSENT, FRESH, CODE, NEW, ALL),
        (CREATE, SPEND, authorize("auto-discovery Disabled")),
    ),
    Case(
        "Code with Selected names the list",
        (ABSENT, FRESH, CODE, NEW, SELECTED),
        (CREATE, SPEND, authorize(only("contoso", "fabrikam"))),
    ),
    Case(
        "Code with an exclusion lets nobody in before it is known who there is",
        (ABSENT, FRESH, CODE, NEW, EXCLUDE),
        (CREATE, SPEND, authorize(only())),
    ),
    Case(
        "Code with All and an exclusion as well",
        (ABSENT, FRESH, CODE, NEW, ALL, EXCLUDE),
        (CREATE, SPEND, authorize(only())),
    ),
    Case(
        "Code with a decision to onboard by name",
        (ABSENT, FRESH, CODE, NEW, EXCLUDE, "resources: {northwind: {onboarding: Onboarded}}"),
        (CREATE, SPEND, authorize(only("northwind"))),
    ),
    Case(
        "Code with scanning",
        (ABSENT, FRESH, CODE, NEW, "spec: {agentlessScanning: {mode: Enabled}}"),
        (CREATE, SPEND, authorize(f"{EVERYTHING}; agentless scanning on")),
    ),
    Case(
        "Code with readers",
        (
            ABSENT,
            FRESH,
            CODE,
            NEW,
            "spec: {securityReaders: [{objectId: 44444444-4444-4444-4444-444444444444, principalType: Group}]}",
        ),
        (
            CREATE,
            SPEND,
            authorize(EVERYTHING),
            "make Group 44444444-4444-4444-4444-444444444444 a Security Reader of the connector",
        ),
    ),
    Case("Code without a code waits", (ABSENT, FRESH, CODE)),
    Case("Code with a refused code waits", (ABSENT, FRESH, CODE, REFUSED)),
    Case(
        "Code with a code that was sent waits",
        (ABSENT, FRESH, CODE, SPENT, f"status: {{authorization: {{codeHash: {SPENT_CODE}}}}}"),
    ),
    Case(
        "Code with a code that was sent before the last one waits",
        (ABSENT, CODE, SPENT, f"status: {{authorization: {{codeHash: {NEW_CODE}, spentCodeHashes: [{SPENT_CODE}]}}}}"),
    ),
    Case(
        "Code with another code than the one that was sent",
        (ABSENT, FRESH, CODE, NEW, KNOWN),
        (CREATE, SPEND, authorize(EVERYTHING)),
    ),
    Case(
        "Code with an old code that no status remembers, and nothing in Azure",
        (ABSENT, FRESH, CODE, SPENT),
        (CREATE, SPEND, authorize(EVERYTHING)),
    ),
    Case(
        "Code makes a connector anew that somebody deleted",
        (ABSENT, CODE, NEW, KNOWN),
        (CREATE, SPEND, authorize(EVERYTHING)),
    ),
    Case("Code does not make a connector anew without a new code", (ABSENT, CODE, SPENT, KNOWN)),
    Case(
        "All takes all existing when the connector is made anew",
        (ABSENT, CODE, NEW, KNOWN, ALL, "status: {azure: {organizationsMode: All}}"),
        (CREATE, SPEND, authorize("auto-discovery Disabled")),
    ),
    Case("Code with Observe makes nothing", (ABSENT, FRESH, CODE, NEW, OBSERVE)),
    Case("Code with suspend makes nothing", (ABSENT, FRESH, CODE, NEW, "spec: {suspend: true}")),
    # the connector is there, its configuration is not
    Case(
        "killed after the connector was made: the code is still good",
        (NO_CONFIGURATION, FRESH, CODE, NEW),
        (SPEND, authorize(EVERYTHING)),
    ),
    Case("killed after the hash was written down: the code is lost", (NO_CONFIGURATION, FRESH, CODE, SPENT, KNOWN)),
    Case(
        "a bare connector of nobody's is owned and authorized",
        (NO_CONFIGURATION, FRESH, CODE, NEW, UNMANAGED),
        (OWN, SPEND, authorize(EVERYTHING)),
    ),
    Case("a bare connector of nobody's waits for a person with Adopt", (NO_CONFIGURATION, FRESH, UNMANAGED), (OWN,)),
    Case(
        "a configuration that somebody deleted is made again with a new code",
        (NO_CONFIGURATION, CODE, NEW, KNOWN),
        (SPEND, authorize(EVERYTHING)),
    ),
    Case("a configuration that somebody deleted waits without one", (NO_CONFIGURATION, CODE, SPENT, KNOWN)),
    # an exchange that failed
    Case("a failed exchange waits for another code", (EXCHANGE_FAILED, CODE, SPENT, KNOWN)),
    Case(
        "a failed exchange is mended by another code",
        (EXCHANGE_FAILED, CODE, NEW, KNOWN),
        (SPEND, authorize(EVERYTHING)),
    ),
    Case(
        "a failed exchange with Selected",
        (EXCHANGE_FAILED, CODE, NEW, KNOWN, SELECTED),
        (SPEND, authorize(only("contoso", "fabrikam"))),
    ),
    Case("a failed exchange with Adopt waits for a person", (EXCHANGE_FAILED, FRESH)),
    Case(
        "a failed exchange does not keep from tagging",
        (EXCHANGE_FAILED, "spec: {azure: {tags: {team: red}}}"),
        (remember("team"), tag("team")),
    ),
    Case("a failed exchange keeps from changing the choice", (EXCHANGE_FAILED, SELECTED)),
    Case(
        "the trace of a failed exchange is wiped off once the authorization works again",
        ("azure: {configuration: {state: Failed, message: 'token exchange failed'}}",),
        (change(EVERYTHING),),
    ),
    Case(
        "a failed exchange and an older answer: the failed probe is the newer one",
        ("azure: {configuration: {state: Failed, message: 'token exchange failed'}}", LOST),
    ),
    # an authorization that works
    Case("a new code renews an authorization that works", (CODE, NEW, KNOWN), (SPEND, authorize(EVERYTHING))),
    Case(
        "a renewal names the list that there is",
        (CODE, NEW, KNOWN, EXCLUDE, LISTED),
        (SPEND, authorize(only("contoso"))),
    ),
    Case(
        "a renewal with All keeps to whom it held",
        (
            CODE,
            NEW,
            KNOWN,
            ALL,
            LISTED,
            "status: {azure: {organizationsMode: All}}",
            "{azure: {others: {tailspin: Free}}, resources: {tailspin: {onboarding: Inherit}}}",
        ),
        (SPEND, authorize(only("contoso", "fabrikam"))),
    ),
    Case("a code of an unusual form is sent", (CODE, "code: unusual", KNOWN), (SPEND, authorize(EVERYTHING))),
    Case("a code of another account is not sent", (CODE, WHO, "code: of another account", KNOWN)),
    Case("a code of another account creates no connector", (ABSENT, FRESH, CODE, WHO, "code: of another account")),
    Case(
        "a code of the declared account is sent, in other letters",
        (CODE, WHO, "code: of the account", KNOWN),
        (SPEND, authorize(EVERYTHING)),
    ),
    Case(
        "a code of any account is sent if none is declared",
        (CODE, "code: of another account", KNOWN),
        (SPEND, authorize(EVERYTHING)),
    ),
    Case("a code that was sent is not sent again", (CODE, SPENT, KNOWN)),
    Case(
        "a code that lay there before anybody looked is not sent over an authorization that works", (CODE, NEW, FIRST)
    ),
    Case("… nor where it is not known whether that works", (CODE, NEW, FIRST, "azure: {available: unknown}")),
    Case("… but over one that does not", (CODE, NEW, FIRST, LOST), (SPEND, authorize(EVERYTHING))),
    Case("a new code with Observe stays unspent", (CODE, NEW, KNOWN, OBSERVE)),
    Case("a new code waits while an operation is under way", (CODE, NEW, KNOWN, PENDING)),
    Case("a new code waits while Azure cannot be read", (CODE, NEW, "unreadable: {reason: Throttled, message: slow}")),
    Case("a code is not spent on another's connector", (CODE, NEW, KNOWN, "azure: {owner: another}")),
    Case("a code is of no use with Adopt", (NEW,)),
    Case(
        "annotations wait until the new code is exchanged",
        (CODE, NEW, KNOWN, "spec: {pullRequestAnnotations: {mode: Enabled}}"),
        (SPEND, authorize(EVERYTHING)),
    ),
    # an authorization that is lost
    Case("a lost authorization waits for a person", (LOST,)),
    Case("a lost authorization keeps from changing the choice", (LOST, SELECTED)),
    Case("a lost authorization keeps from annotating", (LOST, "spec: {pullRequestAnnotations: {mode: Enabled}}")),
    Case(
        "a lost authorization does not keep from tagging",
        (LOST, "spec: {azure: {tags: {team: red}}}"),
        (remember("team"), tag("team")),
    ),
    Case("a lost authorization is renewed by a new code", (LOST, CODE, NEW, KNOWN), (SPEND, authorize(EVERYTHING))),
    Case(
        "an answer that was not empty before is a loss",
        (SELECTED, "{azure: {available: none}, status: {discovery: {organizations: {available: 2}}}}"),
    ),
    Case(
        "a loss that the checks found keeps from changing the choice",
        (SELECTED, "{spec: {signIn: {method: None}}, signIn: {authorizing_account_lost: gone}}"),
    ),
    Case("missing rights of our own are no loss", (WITHOUT_RIGHTS, SELECTED), (change(only("contoso", "fabrikam")),)),
    Case(
        "an outage of the probe is no loss",
        (SELECTED, "azure: {probe: {reason: AzureUnavailable, message: down}}"),
        (change(only("contoso", "fabrikam")),),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_authorization(case: Case) -> None:
    assert planned(*case.world) == list(case.steps)


def test_a_connector_is_created_with_owner_tags_and_a_derived_guid() -> None:
    world = snapshot(ABSENT, FRESH, CODE, NEW, "spec: {azure: {tags: {team: red}}}")
    assert plan(Assessment(world), NOW).actions[:4] == (
        RecordManagedTags(("team",)),
        CreateConnector(
            id=CONNECTOR_ID,
            location="westeurope",
            tags={
                "team": "red",
                "defender-devops-owner": f"cluster-1/{UID}",
                "defender-devops-resource": "security/contoso",
            },
            hierarchy_identifier=hierarchy_identifier(UID),
        ),
        RecordCodeHash(NEW_CODE),
        Authorize(auto_discovery=AutoDiscovery.ENABLED, sha256=NEW_CODE),
    )


def test_the_connector_has_the_name_that_the_spec_gives_it() -> None:
    world = snapshot(ABSENT, FRESH, CODE, NEW, "spec: {azure: {connectorName: legacy}}")
    create = plan(Assessment(world), NOW).actions[0]
    assert isinstance(create, CreateConnector)
    assert create.id.endswith("/legacy")


def test_each_resource_derives_a_different_guid() -> None:
    assert hierarchy_identifier(UID) == hierarchy_identifier(UID.upper())
    assert hierarchy_identifier(UID) != hierarchy_identifier("88888888-8888-8888-8888-888888888888")


def test_a_plan_without_azure_actions_needs_no_fresh_state() -> None:
    assert not plan(Assessment(snapshot("metadata: {finalizers: []}")), NOW).writes_to_azure
    assert plan(Assessment(snapshot(SELECTED)), NOW).writes_to_azure
