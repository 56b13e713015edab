"""Names that several rooms must agree on: API group, labels, annotations, field managers."""

from __future__ import annotations

from dataclasses import dataclass

GROUP = "torpor.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_FUNCTION = f"{GROUP}/function"
"""On every child and pod of a Function: the Function's name."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "torpor"

ANNOTATION_DESIRED = f"{GROUP}/desired-hash"
"""On every child: the hash of what was last applied, so that an unchanged child costs no call."""
ANNOTATION_CODE_VERSION = f"{GROUP}/code-version"
"""On the pod template: changes when what is in the code's ConfigMap does, so that pods roll."""
ANNOTATION_CODE_SEEN = f"{GROUP}/code-seen"
ANNOTATION_CODE_PLACE = f"{GROUP}/code-place"
"""On the Deployment: the state of the code's ConfigMap of which its template has the version."""
LABEL_RUN = f"{GROUP}/run"
"""On the Job and the pods of a run: its id."""
LABEL_RUN_OF = f"{GROUP}/run-of"
"""Beside it the Function's name; such pods are no instances, so they lack LABEL_FUNCTION."""
ANNOTATION_RUN = f"{GROUP}/run"
"""On a run's Job: how the run is, as JSON, written by the leader."""
ANNOTATION_RUN_COUNTED = f"{GROUP}/run-counted"
"""On a run's Job: pods that ended by then, RFC 3339, are in the run's podSeconds."""
ANNOTATION_RUN_CODE = f"{GROUP}/run-code"
"""On a run's Job: the ConfigMap that its pods' copy was made of."""
ANNOTATION_RUN_CANCELLED = f"{GROUP}/run-cancelled"
"""On a run's Job: since when it is to end, RFC 3339."""
ANNOTATION_RUN_DEVICE = f"{GROUP}/run-device"
"""On a run's Job: why its pods ask for no GPU though its Function does."""
ANNOTATION_RUN_TRACE = f"{GROUP}/run-trace"
"""On a run's Job: the traceparent of who asked for it."""
ANNOTATION_RUN_INPUT = f"{GROUP}/run-input"
"""On the pods of a run: what its program finds in $TORPOR_INPUT."""
METADATA_FOLDER = ".metadata"
"""In a folder that stands for a bucket: `.metadata/KEY` has the metadata of the object KEY, as a
JSON object of texts. What is in it is no object of the bucket."""
ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

MANAGER_CONTROLLER = "torpor-controller"
MANAGER_STATUS = "torpor-status"
MANAGER_AUTOSCALER = "torpor-autoscaler"
MANAGER_GATEWAY = "torpor-gateway"

CONTAINER_FUNCTION = "function"
CONTAINER_ANNOUNCER = "announcer"
CONTAINER_CODE = "code"
"""Runs first and fetches the code's archive, where the runtime does not do so itself."""

HEADER_FUNCTION = "X-Torpor-Function"
HEADER_PATH = "X-Torpor-Path"
"""To the events role: the path that a request of an http source came in on."""
HEADER_COLD_START = "X-Torpor-Cold-Start"
HEADER_REQUEST_ID = "X-Request-Id"
HEADER_DETAIL = "Torpor-Detail"
"""Holds the function's `detail_token`; clients may not send what begins with X-Torpor-."""
HEADER_CLIENT_CONTEXT = "X-Amz-Client-Context"
"""To functions that are called as on Lambda: what the caller gave as ClientContext, in base64."""


@dataclass(frozen=True, slots=True, order=True)
class FunctionKey:
    """What identifies a Function in a cluster; `str()` of it is `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> FunctionKey:
        """Return the key that `namespace/name` stands for; ValueError for anything else."""
        namespace, _, name = text.partition("/")
        if not namespace or not name or "/" in name:
            raise ValueError(f"{text!r} is not of the form namespace/name")
        return cls(namespace, name)
