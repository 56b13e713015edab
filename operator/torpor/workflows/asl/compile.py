"""From a definition to a `Program`: every expression compiled, every reference resolved, once.

`compile_program` takes a definition that `validate` found no error in; what it cannot compile all
the same (a resource of no known form) is refused with the state's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from torpor.workflows.asl.choice import compile_choice_rule
from torpor.workflows.asl.jsonpath import compile_path
from torpor.workflows.asl.light import is_light
from torpor.workflows.asl.problem import InvalidDefinition, Problem
from torpor.workflows.asl.program import (
    Block,
    Branch,
    Choice,
    Fail,
    ItemBatcher,
    ItemReader,
    Map,
    Parallel,
    Pass,
    Program,
    ResultWriter,
    State,
    Succeed,
    Task,
    Wait,
)
from torpor.workflows.asl.reading import Reading, compile_setting
from torpor.workflows.asl.recovery import Catcher, Retrier
from torpor.workflows.asl.resource import Resource, parse_resource
from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.template import Template, compile_template

Fields = dict[str, Json]

_CONTEXT = re.compile(r"\$\$|\$states(?!\.(?:input|result|errorOutput)\b)")
"""Text through which an expression can see the context object."""


_NESTED = ("Branches", "ItemProcessor", "Iterator")
"""Fields with machines of their own, whose states see the context object for themselves."""


def compile_program(definition: Mapping[str, Json]) -> Program:
    """Compile a valid definition; raises `InvalidDefinition` for an unknown resource."""
    compiler = _Compiler(_language(definition, QueryLanguage.JSONPATH))
    compiler.block(definition)
    if compiler.problems:
        raise InvalidDefinition(tuple(compiler.problems))
    timeout = definition.get("TimeoutSeconds")
    return Program(
        tuple(block for block in compiler.blocks if block is not None),
        None if timeout is None else float(timeout),
        tuple(compiler.resources),
        is_light(definition),
    )


def _language(fields: Mapping[str, Json], default: QueryLanguage) -> QueryLanguage:
    return QueryLanguage(fields.get("QueryLanguage", default))


class _Compiler:
    """Numbers blocks in document order while it compiles their states."""

    def __init__(self, language: QueryLanguage) -> None:
        self.language = language
        self.blocks: list[Block | None] = []
        self.resources: list[tuple[str, Resource]] = []
        self.problems: list[Problem] = []

    def block(self, definition: Mapping[str, Json]) -> int:
        number = len(self.blocks)
        self.blocks.append(None)
        states = {name: self.state(name, raw) for name, raw in definition["States"].items()}
        self.blocks[number] = Block(number, definition["StartAt"], states)
        return number

    def state(self, name: str, raw: Fields) -> State:
        language = _language(raw, self.language)
        return getattr(self, f"_{raw['Type'].lower()}")(raw, self._common(name, raw, language))  # type: ignore[no-any-return]

    def _common(self, name: str, raw: Fields, language: QueryLanguage) -> dict[str, Any]:
        own = {k: v for k, v in raw.items() if k not in _NESTED}
        jsonpath = language is QueryLanguage.JSONPATH
        return {
            "name": name,
            "language": language,
            "next": raw.get("Next"),
            "uses_context": bool(_CONTEXT.search(json.dumps(own))),
            "input_path": _path(raw, "InputPath") if jsonpath else None,
            "output_path": _path(raw, "OutputPath") if jsonpath else None,
            "assign": _template(raw, "Assign", language),
            "output": None if jsonpath else _template(raw, "Output", language),
        }

    def _working(self, raw: Fields, common: dict[str, Any], parameters: str) -> dict[str, Any]:
        language = common["language"]
        if language is QueryLanguage.JSONATA:
            parameters = "Arguments"
        return {
            **common,
            "parameters": _template(raw, parameters, language),
            "result_selector": _template(raw, "ResultSelector", language),
            "result_path": raw.get("ResultPath", "$"),
            "retriers": tuple(map(_retrier, raw.get("Retry", ()))),
            "catchers": _catchers(raw, language),
        }

    def _pass(self, raw: Fields, common: dict[str, Any]) -> State:
        return Pass(
            **common,
            parameters=_template(raw, "Parameters", common["language"]),
            result=raw.get("Result"),
            has_result="Result" in raw,
            result_path=raw.get("ResultPath", "$"),
        )

    def _succeed(self, raw: Fields, common: dict[str, Any]) -> State:
        return Succeed(**common)

    def _fail(self, raw: Fields, common: dict[str, Any]) -> State:
        language = common["language"]
        return Fail(
            **common,
            error=compile_setting(raw, "Error", language),
            cause=compile_setting(raw, "Cause", language),
        )

    def _wait(self, raw: Fields, common: dict[str, Any]) -> State:
        language = common["language"]
        return Wait(
            **common,
            seconds=compile_setting(raw, "Seconds", language),
            timestamp=compile_setting(raw, "Timestamp", language),
        )

    def _choice(self, raw: Fields, common: dict[str, Any]) -> State:
        language = common["language"]
        common["next"] = raw.get("Default")
        branches = (_branch(rule, language, index) for index, rule in enumerate(raw["Choices"]))
        return Choice(**common, branches=tuple(branches))

    def _task(self, raw: Fields, common: dict[str, Any]) -> State:
        language = common["language"]
        resource = parse_resource(raw["Resource"])
        if resource is None:
            resource = Resource(raw["Resource"], "", "")
            self._unknown_resource(common["name"], raw["Resource"])
        self.resources.append((common["name"], resource))
        return Task(
            **self._working(raw, common, "Parameters"),
            resource=resource,
            timeout=compile_setting(raw, "TimeoutSeconds", language),
            heartbeat=compile_setting(raw, "HeartbeatSeconds", language),
            credentials=_template(raw, "Credentials", language),
        )

    def _unknown_resource(self, state: str, resource: str) -> None:
        message = f"The resource '{resource}' of the state '{state}' has no known form"
        location = f"/States/{state}/Resource"
        self.problems.append(Problem("SCHEMA_VALIDATION_FAILED", message, location))

    def _parallel(self, raw: Fields, common: dict[str, Any]) -> State:
        branches = tuple(self.block(branch) for branch in raw["Branches"])
        return Parallel(**self._working(raw, common, "Parameters"), branches=branches)

    def _map(self, raw: Fields, common: dict[str, Any]) -> State:
        language = common["language"]
        processor = raw.get("ItemProcessor") or raw["Iterator"]
        config = processor.get("ProcessorConfig") or {}
        distributed = config.get("Mode") == "DISTRIBUTED"
        selector = "ItemSelector" if "ItemSelector" in raw else "Parameters"
        return Map(
            **self._working(raw, common, ""),
            block=self.block(processor),
            distributed=distributed,
            express=config.get("ExecutionType") == "EXPRESS",
            label=raw.get("Label"),
            items=_items(raw, language),
            item_selector=_template(raw, selector, language),
            max_concurrency=compile_setting(raw, "MaxConcurrency", language),
            tolerated_count=compile_setting(raw, "ToleratedFailureCount", language),
            tolerated_percentage=compile_setting(raw, "ToleratedFailurePercentage", language),
            reader=_reader(raw, language),
            batcher=_batcher(raw, language),
            writer=_writer(raw, language),
        )


def _template(raw: Fields, name: str, language: QueryLanguage, place: str = "") -> Template | None:
    return compile_template(raw[name], language, place + name) if name in raw else None


def _path(raw: Fields, name: str) -> Reading | None:
    """A path field; None for the whole (`$`), which needs no reading."""
    text = raw.get(name, "$")
    if text == "$":
        return None
    return Reading(None if text is None else compile_path(text))


def _items(raw: Fields, language: QueryLanguage) -> Reading | Template | None:
    if language is QueryLanguage.JSONATA:
        return _template(raw, "Items", language)
    return _path(raw, "ItemsPath")


def _retrier(raw: Fields) -> Retrier:
    return Retrier(
        tuple(raw["ErrorEquals"]),
        float(raw.get("IntervalSeconds", 1)),
        int(raw.get("MaxAttempts", 3)),
        float(raw.get("BackoffRate", 2.0)),
        None if "MaxDelaySeconds" not in raw else float(raw["MaxDelaySeconds"]),
        raw.get("JitterStrategy") == "FULL",
    )


def _branch(rule: Fields, language: QueryLanguage, index: int) -> Branch:
    place = f"Choices[{index}]/"
    return Branch(
        compile_choice_rule(rule, language, f"{place}Condition"),
        rule["Next"],
        _template(rule, "Assign", language, place),
        _template(rule, "Output", language, place),
    )


def _catchers(raw: Fields, language: QueryLanguage) -> tuple[Catcher, ...]:
    return tuple(
        Catcher(
            tuple(catch["ErrorEquals"]),
            catch["Next"],
            catch.get("ResultPath", "$"),
            _template(catch, "Assign", language, f"Catch[{index}]/"),
            _template(catch, "Output", language, f"Catch[{index}]/"),
        )
        for index, catch in enumerate(raw.get("Catch", ()))
    )


def _reader(raw: Fields, language: QueryLanguage) -> ItemReader | None:
    reader = raw.get("ItemReader")
    if reader is None:
        return None
    config = reader.get("ReaderConfig") or {}
    name = "Arguments" if language is QueryLanguage.JSONATA else "Parameters"
    return ItemReader(
        reader["Resource"],
        _template(reader, name, language, "ItemReader/"),
        config,
        compile_setting(config, "MaxItems", language, "ItemReader/ReaderConfig/"),
    )


def _batcher(raw: Fields, language: QueryLanguage) -> ItemBatcher | None:
    batcher = raw.get("ItemBatcher")
    if batcher is None:
        return None
    return ItemBatcher(
        _template(batcher, "BatchInput", language, "ItemBatcher/"),
        compile_setting(batcher, "MaxItemsPerBatch", language, "ItemBatcher/"),
        compile_setting(batcher, "MaxInputBytesPerBatch", language, "ItemBatcher/"),
    )


def _writer(raw: Fields, language: QueryLanguage) -> ResultWriter | None:
    writer = raw.get("ResultWriter")
    if not writer:
        return None
    name = "Arguments" if language is QueryLanguage.JSONATA else "Parameters"
    return ResultWriter(
        writer.get("Resource"),
        _template(writer, name, language, "ResultWriter/"),
        writer.get("WriterConfig") or {},
    )
