"""Which Function a caller of the Lambda API means. Pure.

    thumbnail                                                       in the default namespace
    shop.thumbnail                                                  namespace.name, as machines have
    000000000000:function:shop.thumbnail                            a partial ARN
    arn:aws:lambda:us-east-1:000000000000:function:shop.thumbnail   an ARN

Any of them may end with `:$LATEST`. There is one account and one region, whatever an ARN says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from torpor.aws.errors import Refused, validation
from torpor.gateway.lambda_api.errors import not_found
from torpor.resources.names import FunctionKey

DEFAULT_NAMESPACE = "default"
LATEST = "$LATEST"
_LONGEST = 170
_NAME = re.compile(
    r"(?:(?:arn:aws[\w-]*:lambda:[a-z0-9-]*:)?\d*:function:)?(?P<name>[a-zA-Z0-9._-]+)"
    r"(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What this installation puts into ARNs, and the namespace of names that have none."""

    region: str = "us-east-1"
    account: str = "000000000000"
    namespace: str = DEFAULT_NAMESPACE

    def arn(self, key: FunctionKey) -> str:
        """Return the ARN of a function."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{name_of(key)}"

    def read(self, text: str, qualifier: str | None) -> FunctionKey:
        """Return the function that a FunctionName and a Qualifier mean; refuses what is no name.

        Functions have no versions and no aliases: only `$LATEST` is found.
        """
        found = _NAME.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise _no_name(text)
        namespace, _, name = found["name"].rpartition(".")
        key = FunctionKey(namespace or self.namespace, name)
        for asked in (found["qualifier"], qualifier):
            if asked and asked != LATEST:
                raise not_found(f"{self.arn(key)}:{asked}")
        return key


def name_of(key: FunctionKey) -> str:
    """Return a function's name in this API; neither part has a dot, so it can be read back."""
    return f"{key.namespace}.{key.name}"


def _no_name(text: str) -> Refused:
    return validation(
        f"'{text[:_LONGEST]}' is no FunctionName: write name, namespace.name, or an ARN that ends "
        "with one of them"
    )
