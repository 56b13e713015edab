"""CloudFormation's functions over what is known when a template is imported. Pure.

What only AWS would know, such as the attribute of a resource that is not made here, stays as a
text like `${Table.StreamArn}`, and a note says so.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torpor.importing.sam.naming import ACCOUNT, REGION, Named
from torpor.importing.sam.notes import Notes
from torpor.importing.sam.template import MOST_BYTES, BadTemplate, understood

Json = Any
NOTHING = object()
"""AWS::NoValue: what has it is removed."""
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}|\$\{!([^}]*)\}")
_NAMES = {"QueueName", "TopicName", "Name", "FunctionName", "BucketName", "TableName"}
_IMPLICIT = re.compile(r"Serverless(Rest|Http)Api(\..*)?|[A-Za-z0-9]+FunctionRole")
"""What SAM makes without being told by name."""
_DEEPEST = 60
_MOST_DONE = 1_000_000
"""Values looked at in one template: what is given many times is done as often."""


class Resolver:
    """Gives the values of a template's functions; a parameter's is what was asked for, or its own.

    BadTemplate where a function is not used as AWS says, or a parameter has no value.
    """

    def __init__(
        self,
        template: Mapping[str, Json],
        parameters: Mapping[str, str],
        resources: Mapping[str, Named],
        events_url: str,
        notes: Notes,
    ) -> None:
        self._conditions = template.get("Conditions") or {}
        self._mappings = template.get("Mappings") or {}
        self._resources = resources
        self._events_url = events_url
        self._notes = notes
        self._pseudo = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": "torpor",
            "AWS::StackId": "torpor",
            "AWS::NoValue": NOTHING,
        }
        declared = template.get("Parameters") or {}
        self._done = 0
        self._parameters = _values(declared, parameters)
        self._hidden = frozenset(name for name, facts in declared.items() if _is_hidden(facts))
        self._functions: Mapping[str, Callable[[Json, str, int], Json]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._attribute,
            "Fn::Sub": self._substitute,
            "Fn::Join": self._join,
            "Fn::FindInMap": self._find,
            "Fn::If": self._if,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Base64": lambda value, at, deep: b64encode(
                str(self.value(value, at, deep)).encode()
            ).decode(),
            **dict.fromkeys(
                ("Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not", "Condition"), self._condition_value
            ),
        }

    def value(self, given: Json, place: str, deep: int = 0) -> Json:
        """Return a value with all functions in it done; `place` is for what is told."""
        if deep > _DEEPEST:
            raise BadTemplate(f"{place}: functions refer to themselves")
        self._count(place)
        if isinstance(given, list):
            items = [self.value(item, place, deep + 1) for item in given]
            return [item for item in items if item is not NOTHING]
        if not isinstance(given, dict):
            return self._literal(given, place) if isinstance(given, str) else given
        if len(given) == 1:
            [(name, argument)] = given.items()
            if name in self._functions:
                with understood(place):
                    return self._functions[name](argument, place, deep + 1)
            if str(name).startswith("Fn::"):
                self._notes.left_out(place, f"{name} is not known when a template is imported")
                return f"${{{name}}}"
        found = {str(k): self.value(item, place, deep + 1) for k, item in given.items()}
        return {k: item for k, item in found.items() if item is not NOTHING}

    def holds(self, condition: str, deep: int = 0) -> bool:
        """Return whether a condition of the template holds."""
        if condition not in self._conditions:
            raise BadTemplate(f"Conditions.{condition}: there is no such condition")
        place = f"Conditions.{condition}"
        with understood(place):
            return self._truth(self._conditions[condition], place, deep)

    def _count(self, place: str) -> None:
        self._done += 1
        if self._done > _MOST_DONE:
            raise BadTemplate(f"{place}: its functions give more than {_MOST_DONE} values")

    def _condition_value(self, argument: Json, place: str, deep: int) -> Json:
        raise BadTemplate(f"{place}: a condition is for Conditions and Fn::If")

    def _truth(self, given: Json, place: str, deep: int) -> bool:
        if deep > _DEEPEST:
            raise BadTemplate(f"{place}: conditions refer to themselves")
        self._count(place)
        if not isinstance(given, dict) or len(given) != 1:
            raise BadTemplate(f"{place}: a condition is one of Fn::Equals, And, Or and Not")
        [(name, argument)] = given.items()
        if name == "Condition":
            if argument not in self._conditions:
                raise BadTemplate(f"{place}: there is no condition {argument}")
            return self._truth(self._conditions[argument], place, deep + 1)
        if not isinstance(argument, list):
            raise BadTemplate(f"{place}: {name} needs a list")
        if name == "Fn::Equals" and len(argument) == 2:
            left, right = (self.value(item, place, deep) for item in argument)
            return str(left) == str(right)
        inner = [self._truth(item, place, deep + 1) for item in argument]
        if name == "Fn::Not" and len(inner) == 1:
            return not inner[0]
        if name in ("Fn::And", "Fn::Or"):
            return all(inner) if name == "Fn::And" else any(inner)
        raise BadTemplate(f"{place}: {name} is no condition")

    def _ref(self, name: Json, place: str, deep: int) -> Json:
        if not isinstance(name, str):
            raise BadTemplate(f"{place}: Ref needs the name of a parameter or a resource")
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._parameters:
            if name in self._hidden:
                text = "is NoEcho, and written as plain text: move it to a Secret"
                self._notes.differs(place, f"the parameter {name} {text}")
            return self._parameters[name]
        if name in self._resources:
            return self._resources[name].reference(self._events_url)
        if _IMPLICIT.fullmatch(str(name)):
            return self._unknown(str(name), place)
        raise BadTemplate(f"{place}: Ref {name}: there is no such parameter or resource")

    def _attribute(self, argument: Json, place: str, deep: int) -> Json:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if isinstance(parts, list) and len(parts) == 2 and _IMPLICIT.fullmatch(str(parts[0])):
            return self._unknown(".".join(map(str, parts)), place)
        if not isinstance(parts, list) or len(parts) != 2 or parts[0] not in self._resources:
            raise BadTemplate(f"{place}: GetAtt {argument}: there is no such resource")
        resource, name = self._resources[parts[0]], str(self.value(parts[1], place, deep))
        if name == "Arn" and resource.arn:
            return resource.arn
        if name == "QueueUrl":
            return resource.reference(self._events_url)
        if name in _NAMES:
            return resource.name
        return self._unknown(f"{parts[0]}.{name}", place)

    def _unknown(self, name: str, place: str) -> str:
        text = f"${{{name}}}"
        self._notes.left_out(place, f"{text} is known to AWS alone: write what it is here")
        return text

    def _substitute(self, argument: Json, place: str, deep: int) -> str:
        text, own = (
            argument if isinstance(argument, list) and len(argument) == 2 else (argument, {})
        )
        if not isinstance(text, str) or not isinstance(own, dict):
            raise BadTemplate(f"{place}: Sub needs a text, or a list of a text and an object")
        size = 0

        def put(found: re.Match[str]) -> str:
            nonlocal size
            value = put_in(found)
            size += len(value)
            return _limited(value, size, place)

        def put_in(found: re.Match[str]) -> str:
            if found[2] is not None:
                return f"${{{found[2]}}}"
            name = found[1].strip()
            if name in own:
                return str(self.value(own[name], place, deep))
            known = name in self._pseudo or name in self._parameters or name in self._resources
            if "." in name and not known:
                return str(self._attribute(name, place, deep))
            return str(self._ref(name, place, deep))

        return self._literal(_VARIABLE.sub(put, text), place)

    def _literal(self, text: str, place: str) -> str:
        """Return a text as it is, and say so where AWS would put a secret into it."""
        if "{{resolve:" in text:
            self._notes.left_out(place, f"{text}: is known to AWS alone: name a Secret's field")
        return text

    def _join(self, argument: Json, place: str, deep: int) -> str:
        separator, items = _two(argument, place, "Join")
        found = self.value(items, place, deep)
        if not isinstance(found, list):
            raise BadTemplate(f"{place}: Join needs a list of texts")
        texts = list(map(str, found))
        size = sum(map(len, texts)) + len(str(separator)) * len(texts)
        return _limited(str(separator), size, place).join(texts)

    def _find(self, argument: Json, place: str, deep: int) -> Json:
        keys = [str(key) for key in self.value(argument, place, deep)]
        found = self._mappings
        for key in keys[:3]:
            if not isinstance(found, dict) or key not in found:
                raise BadTemplate(f"{place}: Mappings.{'.'.join(keys)}: there is none")
            found = found[key]
        return found

    def _if(self, argument: Json, place: str, deep: int) -> Json:
        if not isinstance(argument, list) or len(argument) != 3:
            raise BadTemplate(f"{place}: If needs a condition and two values")
        name, yes, no = argument
        return self.value(yes if self.holds(str(name), deep) else no, place, deep)

    def _select(self, argument: Json, place: str, deep: int) -> Json:
        index, items = _two(self.value(argument, place, deep), place, "Select")
        try:
            return items[int(index)]
        except (TypeError, ValueError, IndexError, KeyError):
            raise BadTemplate(f"{place}: Select {index}: the list has no such item") from None

    def _split(self, argument: Json, place: str, deep: int) -> Json:
        separator, text = _two(self.value(argument, place, deep), place, "Split")
        return str(text).split(str(separator) or ",")


def _limited(text: str, size: int, place: str) -> str:
    """Return a part of a text, whose size so far is that of a template at most."""
    if size > MOST_BYTES:
        raise BadTemplate(f"{place}: it becomes a text of more than {MOST_BYTES >> 20} MiB")
    return text


def _two(argument: Json, place: str, name: str) -> Sequence[Json]:
    if not isinstance(argument, list) or len(argument) != 2:
        raise BadTemplate(f"{place}: {name} needs a list of two")
    return argument


def _is_hidden(facts: Json) -> bool:
    """Whether a parameter is NoEcho: AWS itself never shows its value."""
    return isinstance(facts, dict) and str(facts.get("NoEcho")).lower() == "true"


def _values(declared: Mapping[str, Json], given: Mapping[str, str]) -> Mapping[str, Json]:
    strange = given.keys() - declared.keys()
    if strange:
        raise BadTemplate(f"--parameter {min(strange)}: the template has no such parameter")
    found: dict[str, Json] = {}
    for name, facts in declared.items():
        facts = facts if isinstance(facts, dict) else {}
        if name not in given and "Default" not in facts:
            raise BadTemplate(f"Parameters.{name}: has no Default: give --parameter {name}=…")
        value = given.get(name, facts.get("Default"))
        allowed = facts.get("AllowedValues")
        if isinstance(allowed, list) and str(value) not in map(str, allowed):
            told = "the value" if _is_hidden(facts) else repr(value)
            raise BadTemplate(f"Parameters.{name}: {told} is none of {allowed}")
        is_list = str(facts.get("Type", "")).startswith(("CommaDelimitedList", "List<"))
        found[name] = [it.strip() for it in str(value).split(",")] if is_list else value
    return found
