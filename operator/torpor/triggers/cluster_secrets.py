"""Secrets of Triggers, read from the cluster when a source is opened, and never kept."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from torpor.errors import ApiError, ApiNotFound, ApiUnavailable
from torpor.platform.kubernetes import KubernetesApi
from torpor.platform.kubernetes.resources import SECRETS
from torpor.triggers.base import SourceAway, SourceMisconfigured


class ClusterSecrets:
    """Secrets in the namespaces that the chart's `events.secretNamespaces` grants."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """Return the fields of a Secret; SourceMisconfigured when it may not be read or is not."""
        try:
            found = await self._api.get(SECRETS, namespace, name)
        except ApiNotFound:
            raise SourceMisconfigured(f"there is no Secret {namespace}/{name}") from None
        except ApiUnavailable as error:
            raise SourceAway(f"the Secret {namespace}/{name} cannot be read: {error}") from error
        except ApiError as error:
            raise SourceMisconfigured(
                f"the Secret {namespace}/{name} may not be read ({error.reason}): "
                f"add {namespace} to the chart's events.secretNamespaces"
            ) from error
        return _decoded(f"{namespace}/{name}", found.get("data") or {})


def _decoded(name: str, data: Mapping[str, str]) -> Mapping[str, bytes]:
    try:
        return {field: base64.b64decode(value) for field, value in data.items()}
    except binascii.Error:
        raise SourceMisconfigured(f"the Secret {name} is not base64") from None
