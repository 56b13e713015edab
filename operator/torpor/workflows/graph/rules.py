"""One rule of a Choice in a few words, as the label of an edge: `$.total > 100 and …`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from torpor.workflows.asl.scope import Json

_SIGNS = (
    ("GreaterThanEquals", "≥"),
    ("LessThanEquals", "≤"),
    ("GreaterThan", ">"),
    ("LessThan", "<"),
    ("Equals", "="),
    ("Matches", "like"),
)


def rule_text(rule: Mapping[str, Json]) -> str:
    """The condition of a rule for people; empty when it has none."""
    if "Condition" in rule:
        return str(rule["Condition"]).removeprefix("{%").removesuffix("%}").strip()
    if "Not" in rule:
        return f"not ({rule_text(rule['Not'])})"
    for word in ("And", "Or"):
        if word in rule:
            return f" {word.lower()} ".join(_part(part) for part in rule[word])
    operator = next((name for name in rule if name not in ("Variable", "Next", "Comment")), None)
    return "" if operator is None else _comparison(rule, operator)


def _part(rule: Mapping[str, Json]) -> str:
    text = rule_text(rule)
    return f"({text})" if "And" in rule or "Or" in rule else text


def _comparison(rule: Mapping[str, Json], operator: str) -> str:
    variable, value = rule.get("Variable", ""), rule[operator]
    if operator.startswith("Is"):
        return f"{variable} {'is' if value else 'is not'} {operator[2:].lower()}"
    shown = value if operator.endswith("Path") else json.dumps(value, ensure_ascii=False)
    plain = operator.removesuffix("Path")
    sign = next((sign for name, sign in _SIGNS if plain.endswith(name)), plain)
    return f"{variable} {sign} {shown}"
