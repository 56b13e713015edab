"""The installation's one secret key: made once by the controller, read by the gateways."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections.abc import Callable, Mapping
from typing import Any

from torpor.errors import ApiConflict, ApiNotFound, ApiUnavailable, TorporError
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.resources import SECRETS
from torpor.platform.kubernetes.throttle import Backoff, Random
from torpor.resources import names
from torpor.resources.tokens import SECRET_FIELD, SECRET_NAME

KEY_BYTES = 32
_LOOK_AGAIN = Backoff(first_seconds=0.2, most_seconds=2.0)


class BadKey(TorporError):
    """The Secret exists but does not hold a key; delete it so that a new one is made."""

    code = "bad-key"


async def ensure_key(
    api: KubernetesApi, namespace: str, make: Callable[[int], bytes] = os.urandom
) -> bytes:
    """Return the key, made now if there is none; the first of several controllers wins."""
    try:
        return await _read(api, namespace)
    except ApiNotFound:
        encoded = base64.b64encode(make(KEY_BYTES)).decode()
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET_NAME, "namespace": namespace, "labels": labels},
        "type": "Opaque",
        "data": {SECRET_FIELD: encoded},
    }
    try:
        return _key(await api.create(SECRETS, namespace, body))
    except ApiConflict:
        return await _read(api, namespace)


async def wait_for_key(
    api: KubernetesApi, namespace: str, timeout_seconds: float, rand: Random = random.random
) -> bytes:
    """Return the key once a controller has made it; TimeoutError after `timeout_seconds`."""
    tries = 0
    async with asyncio.timeout(timeout_seconds):
        while True:
            try:
                return await _read(api, namespace)
            except (ApiNotFound, ApiUnavailable):
                tries += 1
            await asyncio.sleep(_LOOK_AGAIN.delay(tries, rand))


async def _read(api: KubernetesApi, namespace: str) -> bytes:
    return _key(await api.get(SECRETS, namespace, SECRET_NAME))


def _key(secret: Mapping[str, Any]) -> bytes:
    key = base64.b64decode((secret.get("data") or {}).get(SECRET_FIELD, ""))
    if len(key) < KEY_BYTES:
        raise BadKey(f"Secret {SECRET_NAME}: field {SECRET_FIELD} holds {len(key)} bytes, not 32")
    return key
