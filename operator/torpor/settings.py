"""Settings of the cluster roles, from the environment that the chart writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self
from urllib.parse import urlsplit

from torpor.errors import TorporError


class BadSetting(TorporError):
    """An environment variable that cannot be understood."""

    code = "bad-setting"


@dataclass(frozen=True, slots=True)
class Settings:
    """Common to all roles. The variable of `some_field` is `TORPOR_SOME_FIELD`."""

    namespace: str = "torpor-system"
    """Where Torpor itself is installed."""
    watch_namespace: str = ""
    """The only namespace to serve; empty: all of them."""
    pod_name: str = ""
    """This process's pod, as identity in the Lease and in answers."""
    pod_ip: str = "127.0.0.1"
    """This process's address as others reach it."""
    domain: str = "localhost"
    """Functions answer to the Host `<name>.<namespace>.<domain>`."""
    cluster_domain: str = "cluster.local"
    """The cluster's DNS domain."""
    internal_port: int = 8090
    """Where gateways answer the controller, one another and announcing instances."""
    metrics_port: int = 9090
    """Where /metrics, /healthz and /readyz are served."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings in `environment`; BadSetting names the variable that is wrong."""
        found: dict[str, Any] = {}
        for item in fields(cls):
            variable = f"TORPOR_{item.name.upper()}"
            if variable in environment:
                found[item.name] = _value(variable, environment[variable], str(item.type))
        return cls(**found)


@dataclass(frozen=True, slots=True)
class ControllerSettings(Settings):
    """Of `torpor controller`."""

    announcer_image: str = "torpor/announcer:dev"
    """The image of the container that tells the gateways a pod's address."""
    runtime_images: Mapping[str, str] = field(
        default_factory=lambda: {
            "python3": "torpor/runtime-python:dev",
            "nodejs": "torpor/runtime-node:dev",
        }
    )
    """The image of each runtime: `name=image,name=image`."""
    image_pull_policy: str = "IfNotPresent"
    """For announcer and runtime images."""
    workers: int = 8
    """Reconciles that run at once."""
    engine_url: str = ""
    """The engines' internal API; empty: no Workflows are run."""
    events_url: str = ""
    """The internal API of the events role; empty: no events are taken."""
    function_otlp_endpoint: str = ""
    """Where runtimes and runs are told to send spans, by OTLP over HTTP; empty: nowhere."""


@dataclass(frozen=True, slots=True)
class GatewaySettings(Settings):
    """Of `torpor gateway`."""

    http_port: int = 8080
    """Where requests arrive."""
    peer_port: int = 8082
    """Where other gateways forward requests of functions whose home is here."""
    slots: int = 2000
    """Functions that can be awake in HAProxy at once; beyond it requests fail with 503."""
    max_connections: int = 8000
    """Connections taken at once, fewer where open files are; a function gets what is still free."""
    run_directory: str = "/run/torpor"
    """HAProxy's configuration, maps and sockets; writable, in memory."""
    haproxy: str = "haproxy"
    """The HAProxy program."""
    drain_seconds: int = 30
    """How long open requests may go on after SIGTERM."""
    events_url: str = ""
    """The public API of the events role, http://host:port; empty: no events are taken."""
    runs_url: str = ""
    """The controllers' internal API, http://host:port; empty: no runs are started."""
    region: str = "us-east-1"
    """The region in ARNs of the Lambda API; no part of the installation is there."""
    account: str = "000000000000"
    """The account in ARNs."""
    access_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys that calls of the Lambda API must be signed with: `id=secret,id=secret`."""
    api_token: str = field(default="", repr=False)
    """A bearer token that is taken in place of a signature."""
    api_clients: str = "known"
    """Who may use the Lambda API: `known`, who signs with a key or brings the token, or `anyone`.
    """

    def events_address(self) -> tuple[str, int] | None:
        """Return host and port of the events role, None without one; BadSetting if it is no URL."""
        if not self.events_url:
            return None
        found = urlsplit(self.events_url)
        if found.scheme != "http" or not found.hostname:
            raise BadSetting(f"TORPOR_EVENTS_URL: {self.events_url!r} is not http://host:port")
        return found.hostname, found.port or 80


@dataclass(frozen=True, slots=True)
class EngineSettings(Settings):
    """Of `torpor engine`."""

    ledger_dsn: str = field(default="", repr=False)
    """PostgreSQL 14 or newer: postgresql://user:password@host:5432/database."""
    api_port: int = 8100
    """Where the Step Functions API is served."""
    gateway_url: str = "http://torpor-gateway.torpor-system.svc"
    """Through which tasks call Functions."""
    region: str = "us-east-1"
    """The region in ARNs; no part of the installation is there."""
    account: str = "000000000000"
    """The account in ARNs."""
    payload_bytes: int = 262_144
    """The most that a state may take or give, as on AWS; 0: no limit."""
    access_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys that requests must be signed with: `id=secret,id=secret`; empty: none is asked for."""
    api_token: str = field(default="", repr=False)
    """A bearer token that is taken in place of a signature; empty: none is asked for."""
    api_clients: str = "anyone"
    """Who may use that API: `anyone`, or `known`, who signs with a key or brings the token."""
    object_store: str = ""
    """Where `s3:` tasks and distributed Maps read and write: file:///folder or s3://bucket."""
    events_url: str = ""
    """The events API, for `events:` and `sqs:` tasks; empty: they fail."""
    events_token: str = field(default="", repr=False)
    """A bearer token for that API; empty: it asks for none."""
    http_allow: str = ""
    """What HTTP tasks may call besides the public Internet: `host,10.1.0.0/16`."""
    http_refuse: str = ""
    """Networks that they may not call though public, such as a cluster's own: `9.9.0.0/16`."""
    connections_folder: str = ""
    """Where the connections of HTTP tasks are, as `NAMESPACE/NAME.json`; empty: there are none."""
    drain_seconds: int = 10
    """How long calls of Functions may go on after SIGTERM."""


@dataclass(frozen=True, slots=True)
class EventsSettings(Settings):
    """Of `torpor events`."""

    nats_url: str = "nats://127.0.0.1:4222"
    """The servers of JetStream: nats://host:port or tls://host:port, commas between several."""
    nats_user: str = ""
    """With `nats_password`; of this and the next two ways to log in, at most one."""
    nats_password: str = field(default="", repr=False)
    """The user's password."""
    nats_token: str = field(default="", repr=False)
    """A token."""
    nats_credentials_file: str = ""
    """A `.creds` file with a JWT and its key."""
    nats_ca_file: str = ""
    """PEM of who signed the servers' certificates; empty: the system's."""
    nats_certificate_file: str = ""
    """PEM of our own certificate, where the servers ask for one."""
    nats_key_file: str = ""
    """Its key; empty: it is in the same file."""
    store_bytes: int = 0
    """What one server of NATS may store, its `max_file_store`: buses keep at most half of it, and
    nothing new is taken when nine tenths are used. 0: the account's limit, or learned when full."""
    stream_bytes: int = -1
    """What one stream may hold; -1: what the server has left."""
    inbox_messages: int = 1_000_000
    """What one Trigger's inbox may hold, or each of its partitions; -1: no limit."""
    stream_replicas: int = 1
    """Copies of each stream: 1, 3 or 5; no more than there are servers."""
    ack_wait_seconds: int = 30
    """After how long the events of a dispatcher that died are delivered by another."""
    api_port: int = 8200
    """Where events come in: CloudEvents, EventBridge's PutEvents, SQS, asynchronous calls."""
    gateway_url: str = "http://torpor-gateway.torpor-system.svc"
    """Through which Functions are called."""
    engine_api_url: str = ""
    """The Step Functions API of the engines; empty: no Workflows are started."""
    engine_token: str = field(default="", repr=False)
    """A bearer token for that API; empty: it asks for none."""
    region: str = "us-east-1"
    """The region in ARNs and in the URLs of queues; no part of the installation is there."""
    account: str = "000000000000"
    """The account in ARNs."""
    object_store: str = ""
    """Where data of large events is kept and `storage` sources look: file:///folder, s3://bucket."""
    access_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Keys that requests must be signed with: `id=secret,id=secret`; empty: none is asked for."""
    api_token: str = field(default="", repr=False)
    """A bearer token that is taken in place of a signature; empty: none is asked for."""
    api_clients: str = "anyone"
    """Who may use that API: `anyone`, or `known`, who signs with a key or brings the token."""
    max_body_bytes: int = 16_777_216
    """The longest request that is read."""
    max_buses_and_queues: int = 1000
    """How many there may be: their first use makes them."""
    drain_seconds: int = 20
    """How long deliveries may go on after SIGTERM; the events of the others are given back."""


@dataclass(frozen=True, slots=True)
class DashboardSettings(Settings):
    """Of `torpor dashboard --in-cluster`."""

    dashboard_port: int = 8300
    """Where the page is; each request shows the internal token, as `torpor dashboard` does."""
    otlp_port: int = 4318
    """Where spans are taken, by OTLP over HTTP."""
    engine_url: str = ""
    """The engines' internal API; empty: no Workflows are run."""
    engine_api_url: str = ""
    """The Step Functions API of the engines, for what an execution did."""
    engine_token: str = field(default="", repr=False)
    """A bearer token for that API; empty: it asks for none."""
    events_url: str = ""
    """The internal API of the events role; empty: no events are taken."""
    prices: str = ""
    """The table of prices that the bill is made with; empty: what nodes of one's own cost."""


def _value(variable: str, text: str, kind: str) -> Any:
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise BadSetting(f"{variable}: {text!r} is not an integer") from None
    if kind.startswith("Mapping"):
        pairs = [item.partition("=") for item in text.split(",") if item]
        if not all(name and value for name, _, value in pairs):
            raise BadSetting(f"{variable}: write it as name=value,name=value")
        return {name.strip(): value.strip() for name, _, value in pairs}
    return text
