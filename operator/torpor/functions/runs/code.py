"""The code of a run: a copy of its Function's ConfigMap that nobody changes, owned by its Job.

A run starts pods anew for days, and all of them get what the ConfigMap held when it was made. The
copy is made after its Job, as only what is there can own it: none is left behind. If the maker ends
between the two, the leader makes the copy; pods wait for it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from torpor.errors import ApiConflict, ApiNotFound
from torpor.functions.runs.job import RunCode
from torpor.functions.runs.seen import RunJob
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.resources import CONFIG_MAPS, JOBS
from torpor.resources.names import (
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    LABEL_RUN_OF,
    MANAGED_BY,
)

Json = dict[str, Any]

COMPONENT_CODE = "run-code"
_DIGITS = 10


async def read_code(
    api: KubernetesApi, namespace: str, source: str, run: str, now: datetime
) -> RunCode:
    """Return what is to be copied; ApiNotFound if there is no such ConfigMap.

    A run that is made anew after its Job was deleted gets another name: the old copy may not be
    collected yet.
    """
    content = await _content(api, namespace, source)
    text = json.dumps([now.isoformat(), content], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return RunCode(f"{run}-{digest}", source, content)


async def keep_code(api: KubernetesApi, job: RunJob, content: Json) -> None:
    """Make the copy that the Job's pods mount; nothing happens if there is one."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": job.code,
            "namespace": job.key.namespace,
            "labels": {
                LABEL_RUN: job.id,
                LABEL_RUN_OF: job.key.name,
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_COMPONENT: COMPONENT_CODE,
            },
            "ownerReferences": [
                {
                    "apiVersion": JOBS.api_version,
                    "kind": JOBS.kind,
                    "name": job.id,
                    "uid": job.uid,
                }
            ],
        },
        "immutable": True,
        **content,
    }
    try:
        await api.create(CONFIG_MAPS, job.key.namespace, body)
    except ApiConflict:
        return  # it has the name that its content and its run gave it


async def copy_code(api: KubernetesApi, job: RunJob) -> None:
    """Make the copy, if there is none, of what is there now; ApiNotFound if nothing is."""
    try:
        await api.get(CONFIG_MAPS, job.key.namespace, job.code)
    except ApiNotFound:
        await keep_code(api, job, await _content(api, job.key.namespace, job.code_source))


async def _content(api: KubernetesApi, namespace: str, name: str) -> Json:
    found = await api.get(CONFIG_MAPS, namespace, name)
    return {part: found[part] for part in ("data", "binaryData") if found.get(part)}
