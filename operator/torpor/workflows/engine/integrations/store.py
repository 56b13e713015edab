"""The object store as tasks and distributed Maps use it: `s3:…` tasks, ItemReader, ResultWriter."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from torpor.expressions.values import json_text
from torpor.workflows.asl.events import Input, ReadItems, WriteResults
from torpor.workflows.asl.fault import ITEM_READER_FAILED, RESULT_WRITER_FAILED, Fault
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.objects import (
    Entry,
    NoObject,
    Objects,
    ObjectStore,
    StoreFailed,
)
from torpor.workflows.engine.integrations.outcomes import arguments, failed, succeeded
from torpor.workflows.records import Machine

MOST_OBJECT_BYTES = 5 * 1_048_576
"""How much of a result file is gathered before the next one begins."""
MOST_CELL_CHARACTERS = 5 * 1_048_576
"""The longest cell of a CSV file; a longer one fails the Map."""
MOST_ITEMS_BYTES = 64 * 1_048_576
"""What all the files that a Map reads its items from may hold together, unpacked."""
MOST_JSON_BYTES = 16 * 1_048_576
"""How long one JSON document may be: nothing else runs while it is parsed."""
csv.field_size_limit(MOST_CELL_CHARACTERS)
_UNREADABLE = (ValueError, LookupError, TypeError, EOFError, csv.Error, zlib.error)
"""What the readers of JSON, CSV and gzip raise for bad content."""
_DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}


class S3:
    """Does `s3:getObject`, `putObject` and `listObjectsV2`, also as `aws-sdk:s3:…`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def run(self, job: Job) -> Input | None:
        """Do the action that the resource names."""
        given, action = arguments(job), job.dispatch.resource.action
        bucket, key = str(given.get("Bucket", "")), str(given.get("Key", ""))
        try:
            objects = self._store.of(job.machine.options.namespace)
            if action == "getObject":
                content = await objects.get(bucket, key)
                return succeeded(job, {"Body": content.decode(), "ContentLength": len(content)})
            if action == "putObject":
                etag = await objects.put(bucket, key, _body(given.get("Body")))
                return succeeded(job, {"ETag": etag})
            if action in ("listObjectsV2", "listObjects"):
                return succeeded(job, await _page(objects, bucket, given))
        except NoObject as error:
            return failed(job, "S3.NoSuchKeyException", str(error))
        except (StoreFailed, UnicodeDecodeError) as error:
            return failed(job, "S3.S3Exception", str(error))
        return failed(job, "States.TaskFailed", f"s3:{action} is not supported.")


class StoredItems:
    """The `Items` of distributed Maps."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def read(self, machine: Machine, request: ReadItems) -> list[Json]:
        """The items that an ItemReader finds; raises Fault (States.ItemReaderFailed)."""
        given = request.arguments if isinstance(request.arguments, Mapping) else {}
        try:
            objects = self._store.of(machine.options.namespace)
            if request.resource.rpartition(":")[2].startswith("listObjects"):
                return await _entries(objects, given, request.max_items)
            return await _read(objects, given, request)
        except (NoObject, StoreFailed, *_UNREADABLE) as error:
            raise Fault(ITEM_READER_FAILED, str(error)) from error

    async def write(self, machine: Machine, request: WriteResults) -> Payload:
        """Write manifest.json and the result files, as AWS lays them out."""
        given = request.arguments if isinstance(request.arguments, Mapping) else {}
        bucket, prefix = str(given.get("Bucket", "")), str(given.get("Prefix", ""))
        name = request.map_run.rpartition(":")[2]
        folder = f"{prefix.rstrip('/')}/{name}".lstrip("/")
        if request.resource is None or not bucket:
            return Payload([_shown(record, request.config) for record in request.results])
        try:
            objects = self._store.of(machine.options.namespace)
            files = await _files(objects, bucket, folder, request)
            manifest = {
                "DestinationBucket": bucket,
                "MapRunArn": request.map_run,
                "ResultFiles": files,
            }
            key = f"{folder}/manifest.json"
            await objects.put(bucket, key, orjson.dumps(manifest))
        except StoreFailed as error:
            raise Fault(RESULT_WRITER_FAILED, str(error)) from error
        details = {"Bucket": bucket, "Key": key}
        return Payload({"MapRunArn": request.map_run, "ResultWriterDetails": details})


async def _files(objects: Objects, bucket: str, folder: str, request: WriteResults) -> Json:
    files: dict[str, list[Json]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status in ("FAILED", "SUCCEEDED"):
        records = [one for one in request.results if one.get("Status") == status]
        shown = [_shown(record, request.config) for record in records]
        for number, content in enumerate(_contents(shown, request.config)):
            key = f"{folder}/{status}_{number}.json"
            await objects.put(bucket, key, content)
            files[status].append({"Key": key, "Size": len(content)})
    return files


async def _entries(objects: Objects, given: Mapping[str, Any], most: int | None) -> list[Json]:
    bucket, prefix = str(given.get("Bucket", "")), str(given.get("Prefix", ""))
    found: list[Json] = []
    async for entry in objects.list(bucket, prefix):
        if most is not None and len(found) >= most:
            break
        found.append(_listed(entry))
    return found


async def _read(objects: Objects, given: Mapping[str, Any], request: ReadItems) -> list[Json]:
    bucket = str(given.get("Bucket", ""))
    content = await objects.get(bucket, str(given.get("Key", "")))
    kind = str(request.config.get("InputType", "JSON"))
    if kind == "MANIFEST":
        return await _manifest(objects, content, request)
    return await asyncio.to_thread(_items, kind, content, request)


async def _manifest(objects: Objects, content: bytes, request: ReadItems) -> list[Json]:
    """The rows of all the files that an S3 inventory's manifest lists."""
    manifest = _document(content)
    bucket = str(manifest["destinationBucket"]).rpartition(":")[2]
    names = [name.strip() for name in str(manifest["fileSchema"]).split(",")]
    config = {"CSVHeaderLocation": "GIVEN", "CSVHeaders": names}
    rows: list[Json] = []
    left_bytes = MOST_ITEMS_BYTES
    for file in manifest["files"]:
        left = None if request.max_items is None else request.max_items - len(rows)
        if left == 0:
            break
        data = await objects.get(bucket, str(file["key"]))
        data = await asyncio.to_thread(_plain, data, left_bytes)
        left_bytes -= len(data)
        rows += await asyncio.to_thread(_csv, data, config, left)
    return rows


async def _page(objects: Objects, bucket: str, given: Mapping[str, Any]) -> Json:
    prefix, most = str(given.get("Prefix", "")), int(given.get("MaxKeys", 1_000))
    after = str(given.get("ContinuationToken") or given.get("StartAfter") or "")
    found = [entry async for entry in objects.list(bucket, prefix) if entry.key > after]
    page = found[:most]
    told: dict[str, Json] = {
        "Contents": [_listed(entry) for entry in page],
        "IsTruncated": len(found) > len(page),
        "KeyCount": len(page),
        "MaxKeys": most,
        "Name": bucket,
        "Prefix": prefix,
    }
    if told["IsTruncated"]:
        told["NextContinuationToken"] = page[-1].key
    return told


def _items(kind: str, content: bytes, request: ReadItems) -> list[Json]:
    content = _plain(content, MOST_ITEMS_BYTES)
    if kind == "JSON":
        found = _pointed(_document(content), str(request.config.get("ItemsPointer", "")))
        if isinstance(found, dict):
            found = [{"Key": key, "Value": value} for key, value in found.items()]
        if not isinstance(found, list):
            raise ValueError("Attempting to map over non-iterable node.")
        return _cut(found, request.max_items)
    if kind == "JSONL":
        lines = (line for line in io.BytesIO(content) if line.strip())
        return [_document(line) for line in islice(lines, request.max_items)]
    if kind == "CSV":
        return _csv(content, request.config, request.max_items)
    raise ValueError(f"the InputType {kind} is not supported")


def _csv(content: bytes, config: Mapping[str, Any], most: int | None) -> list[Json]:
    delimiter = _DELIMITERS.get(str(config.get("CSVDelimiter", "COMMA")), ",")
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    if config.get("CSVHeaderLocation", "FIRST_ROW") == "GIVEN":
        names = [str(name) for name in config["CSVHeaders"]]
    else:
        names = next(rows, [])
    found: list[Json] = []
    for row in rows:
        if most is not None and len(found) >= most:
            break
        if row:
            cells = [*row, *[""] * (len(names) - len(row))]
            found.append(dict(zip(names, cells, strict=False)))
    return found


def _pointed(value: Json, pointer: str) -> Json:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, list | dict):
            raise ValueError(f"the ItemsPointer {pointer} leads into what is no object or array")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def _document(content: bytes) -> Any:
    """The value of a JSON text; ValueError for one that is none or too long."""
    if len(content) > MOST_JSON_BYTES:
        raise ValueError(
            f"a JSON document has more than {MOST_JSON_BYTES} bytes: use InputType JSONL"
        )
    return orjson.loads(content)


def _plain(content: bytes, most_bytes: int) -> bytes:
    """The content, unpacked when it is compressed with gzip; ValueError when it is too much."""
    if content.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"the items hold more than {MOST_ITEMS_BYTES} bytes: divide them")
    return content


def _cut(items: list[Json], most: int | None) -> list[Json]:
    return items if most is None else items[:most]


def _listed(entry: Entry) -> dict[str, Json]:
    return {
        "Etag": entry.etag,
        "Key": entry.key,
        "LastModified": int(entry.modified.timestamp()),
        "Size": entry.size,
        "StorageClass": "STANDARD",
    }


def _body(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json_text(value).encode()


def _shown(record: Mapping[str, Json], config: Mapping[str, Any]) -> Json:
    """One result as WriterConfig's Transformation wants it: with or without its metadata."""
    transformation = config.get("Transformation", "NONE")
    if transformation == "NONE" or record.get("Status") != "SUCCEEDED":
        return dict(record)
    output = orjson.loads(str(record["Output"]))
    return output


def _contents(records: Sequence[Json], config: Mapping[str, Any]) -> list[bytes]:
    """The result files, each of at most about 5 MiB."""
    if config.get("Transformation") == "FLATTEN":
        nested = [one if isinstance(one, list) else [one] for one in records]
        records = [item for one in nested for item in one]
    lines = config.get("OutputType") == "JSONL"
    join: Callable[[list[bytes]], bytes] = b"\n".join if lines else _array
    groups: list[list[bytes]] = []
    size = 0
    for record in records:
        text = json_text(record).encode()
        if not groups or size + len(text) > MOST_OBJECT_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(text)
        size += len(text)
    return [join(group) for group in groups]


def _array(parts: list[bytes]) -> bytes:
    return b"[" + b",".join(parts) + b"]"
