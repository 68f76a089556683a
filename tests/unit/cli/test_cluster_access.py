from __future__ import annotations

import pytest

from defender_devops.cli.cluster_access import wrong_name

NAMES = {"security": ["contoso", "northwind"], "platform": ["fabrikam"]}

CASES = [
    ("contsoo", "security", "There is no connector contsoo in namespace security. Did you mean contoso?"),
    ("fabrikam", "security", "There is no connector fabrikam in namespace security, but there is one in platform: "),
    ("fabricam", "security", "There is no connector fabricam in namespace security. Did you mean platform/fabrikam?"),
    ("zzz", "security", "There is no connector zzz in namespace security. There are: contoso, northwind."),
    ("zzz", "default", "There is no connector zzz in namespace default. There is none at all in that namespace"),
]


@pytest.mark.parametrize(("name", "namespace", "sentence"), CASES)
def test_a_wrong_name_gets_the_best_suggestion_there_is(name: str, namespace: str, sentence: str) -> None:
    assert wrong_name(name, namespace, NAMES).startswith(sentence)


def test_of_very_many_connectors_only_some_are_listed() -> None:
    many = {"security": [f"connector-{number:02}" for number in range(30)]}
    assert wrong_name("x", "security", many).endswith("connector-07 and 22 more.")
