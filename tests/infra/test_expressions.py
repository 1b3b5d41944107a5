"""The evaluator that the other tests stand on: it binds as Bicep does, not as the parser's tree leans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.deployment import deploy
from tests.infra.expressions import Runtime, Scope, evaluate_text

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Names:
    """A scope of given names."""

    values: Mapping[str, Any] = field(default_factory=dict)

    def lookup(self, name: str) -> Any:
        return self.values[name]

    def inner(self, values: Mapping[str, Any]) -> Scope:
        return Names({**self.values, **values})


NAMES = Names({"yes": True, "no": False, "x": "a", "o": {"p": {"q": [1, 2]}}, "azure": Runtime("azure"), "numbers": [3, 4]})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x == 'a' ? 1 : 2", 1),
        ("no ? 1 : yes ? 2 : 3", 2),
        ("!no && yes", True),
        ("!yes || yes", True),
        ("yes || no && no", True),
        ("(yes || no) && no", False),
        ("no && (yes || yes)", False),
        ("x != 'b' && x == 'a'", True),
        ("o.p.q[1]", 2),
        ("o.?r ?? 'none'", "none"),
        ("o.p.?q ?? 'none'", [1, 2]),
        ("'${x}-${o.p.q[0]}'", "a-1"),
        ("'it\\'s \\${x}'", "it's ${x}"),
        ("[for (n, i) in numbers: { n: n, i: i }]", [{"n": 3, "i": 0}, {"n": 4, "i": 1}]),
        ("[for n in numbers: if(n > 3) n]", [4]),
        ("union({ a: 1, b: 1 }, { b: 2 })", {"a": 1, "b": 2}),
        ("-1", -1),
        ("numbers[1] - 1 > 2", True),
    ],
)
def test_an_expression_has_its_value(text: str, value: object) -> None:
    assert evaluate_text(text, NAMES) == value


def test_what_only_azure_knows_stays_so() -> None:
    assert isinstance(evaluate_text("'https://${azure.host}/'", NAMES), Runtime)
    assert evaluate_text("azure.a.b", NAMES) == "azure.a.b"


def test_what_is_not_deployed_cannot_be_read() -> None:
    with pytest.raises(AssertionError):
        _ = deploy(name="archive").instance.lookup("network").access("outputs")
