"""The installation's internal token, for those who may read the Secret that it derives from."""

from __future__ import annotations

import base64

from torpor.cli.cluster import Cluster
from torpor.errors import ApiError, TorporError
from torpor.platform.kubernetes.resources import SECRETS
from torpor.resources.tokens import SECRET_FIELD, SECRET_NAME, internal_token


class NoToken(TorporError):
    """The Secret is not there, or this person may not read it."""

    code = "no-token"


async def token_of(api: Cluster, namespace: str, variable: str) -> str:
    """Return the token of Torpor in this namespace; NoToken names the variable to set instead."""
    try:
        secret = await api.get(SECRETS.path(namespace, SECRET_NAME))
        return internal_token(base64.b64decode(secret["data"][SECRET_FIELD]))
    except (ApiError, LookupError, ValueError) as error:
        raise NoToken(
            f"the Secret {namespace}/{SECRET_NAME} cannot be read ({error}): ask somebody who may, "
            f"or set {variable}; --torpor-namespace says where Torpor runs"
        ) from error
