"""What to do about the reasons that a Function's conditions give. Pure."""

from __future__ import annotations

from torpor.resources.conditions import (
    CONFIG_MAP_MISSING,
    FAILED_CREATE,
    INVALID_SPEC,
    INVALID_WINDOW,
    NOT_OWNED,
    NOT_READY,
    REFUSED,
    UNKNOWN_RUNTIME,
)
from torpor.resources.names import LABEL_FUNCTION, FunctionKey

_LOGS = (
    "torpor fn invoke {name} -n {namespace}, which starts it; "
    "torpor fn logs {name} -n {namespace} --previous"
)
_PODS = "kubectl -n {namespace} describe pods -l {label}={name}"
_EDIT = "kubectl -n {namespace} edit function {name}"
_CHILDREN = "kubectl -n {namespace} get deployments,services,networkpolicies {name}"
_COMMANDS = {
    CONFIG_MAP_MISSING: "kubectl -n {namespace} create configmap …, with the name in the message",
    FAILED_CREATE: "kubectl -n {namespace} get resourcequotas,serviceaccounts; the message names "
    "what is in the way",
    INVALID_SPEC: f"{_EDIT}; kubectl explain function.spec has the fields",
    INVALID_WINDOW: f"{_EDIT}: mend the field that the message names",
    NOT_OWNED: f"{_CHILDREN}; rename the Function, or delete what is in its way",
    NOT_READY: "torpor fn logs {name} -n {namespace} says what it does instead of listening",
    REFUSED: f"{_EDIT}: mend what the message names; it is tried again by itself",
    UNKNOWN_RUNTIME: "helm upgrade torpor … --set runtimes.<name>=<image>, or name another runtime",
    "CrashLoopBackOff": _LOGS,
    "Error": _LOGS,
    "Completed": _LOGS,
    "OOMKilled": f"{_EDIT}: raise resources.limits.memory",
    "InvalidImageName": f"{_EDIT}: give spec.image a name that can be one",
}
"""Of all other reasons, such as an image that cannot be pulled, the pods' Events tell the most."""


def remedy(reason: str, key: FunctionKey) -> str:
    """Return the command that mends, or at least explains, why a function is not Ready."""
    text = _COMMANDS.get(reason, _PODS)
    return text.format(name=key.name, namespace=key.namespace, label=LABEL_FUNCTION)
