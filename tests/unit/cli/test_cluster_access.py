from __future__ import annotations

import pytest

from defender_devops.cli.cluster_access import not_found_message

NAMES = {"security": ["contoso", "northwind"], "platform": ["fabrikam"]}

CASES = [
    ("contsoo", "security", "There is no connector contsoo in namespace security. Did you mean contoso?"),
    ("fabrikam", "security", "There is no connector fabrikam in namespace security, but there is one in platform: "),
    ("fabricam", "security", "There is no connector fabricam in namespace security. Did you mean platform/fabrikam?"),
    ("zzz", "security", "There is no connector zzz in namespace security. Existing connectors: contoso, northwind."),
    ("zzz", "default", "There is no connector zzz in namespace default. The namespace has no connectors"),
]


@pytest.mark.parametrize(("name", "namespace", "sentence"), CASES)
def test_an_unknown_name_gets_the_best_suggestion(name: str, namespace: str, sentence: str) -> None:
    assert not_found_message(name, namespace, NAMES).startswith(sentence)


def test_only_some_of_many_connectors_are_listed() -> None:
    many = {"security": [f"connector-{number:02}" for number in range(30)]}
    assert not_found_message("x", "security", many).endswith("connector-07 and 22 more.")
