"""HAProxy's configuration and map files, rendered from what the driver wants. Pure.

A request takes one of three doors: `in` (clients), `peer` (another gateway, which found that the
function's home is here) and `again` (this HAProxy itself: a request that had been queued in a slot
whose servers went). All three find the function, find its slot in slot.map or ask Python (`hold`),
and go to the slot's backend. Everything a restart must bring back is in these files.

Clients may stand behind an ingress: what they say in X-Forwarded-Proto and X-Forwarded-Host is
kept, and their X-Forwarded-For is continued.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

AGAIN = "_again"
"""The backup server of every backend: the door `again`."""
MAX_AGAIN = 8
"""How often one request may come back; each time is one more connection through HAProxy."""

HOST_MAP = "host.map"
PATH_MAP = "path.map"
SLOT_MAP = "slot.map"
TIMEOUT_MAP = "timeout.map"
HOME_MAP = "home.map"
MAPS = (HOST_MAP, PATH_MAP, SLOT_MAP, TIMEOUT_MAP, HOME_MAP)

_PROBLEM = "application/problem+json"

# Checked only after a failed connection: down at the first refusal, up when it accepts again.
_HEALTH = (
    "check inter 1h fastinter 100ms downinter 100ms fall 1 rise 1"
    " observe layer4 error-limit 1 on-error mark-down pool-purge-delay 1s"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What does not change while the plane runs. The listeners are inherited descriptors."""

    run_directory: Path
    public_fd: int
    peer_fd: int
    slots: int
    peers: int = 16
    max_connections: int = 8000
    hold_seconds: int = 60
    """How long a request may wait in a slot's queue; the activator bounds what it holds itself."""
    header_seconds: int = 10
    """How long a client may take to send a request's headers."""

    @property
    def config(self) -> Path:
        """The main file."""
        return self.run_directory / "haproxy.cfg"

    @property
    def lua(self) -> Path:
        """The hold action."""
        return self.run_directory / "hold.lua"

    @property
    def admin_socket(self) -> Path:
        """HAProxy's runtime API: whoever can open it commands HAProxy."""
        return self.run_directory / "admin.sock"

    @property
    def hold_socket(self) -> Path:
        """Where Python answers the hold action."""
        return self.run_directory / "hold.sock"

    @property
    def again_socket(self) -> Path:
        """The door `again`."""
        return self.run_directory / "again.sock"

    def map(self, name: str) -> Path:
        """Return the file of one of `MAPS`; the runtime API calls the map by this path."""
        return self.run_directory / name


def problem(status: int, code: str, detail: str, request_id: str) -> str:
    """Return a problem details object (RFC 9457) in one line."""
    title = HTTPStatus(status).phrase
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": request_id,
    }
    return json.dumps(body, separators=(",", ":"))


def server_arguments(address: str, port: int, limit: int, protocol: str) -> str:
    """Return what follows a server's name, in the file and in `add server` alike.

    `limit` 0 is none; `protocol` is `h1` or `h2` (without TLS).
    """
    host = f"[{address}]" if ":" in address else address
    proto = " proto h2" if protocol == "h2" else ""
    return f"{host}:{port} maxconn {max_connections(limit)}{proto} {_HEALTH}"


def max_connections(limit: int) -> int:
    """Return HAProxy's `maxconn` for a limit.

    No limit is a number that is never reached: a change to 0 would not move the queue.
    """
    return limit or 1_000_000


def render_map(entries: Mapping[str, str]) -> str:
    """Return a map file: one `key value` a line."""
    return "".join(f"{key} {value}\n" for key, value in entries.items())


def render_config(options: Options, servers: Mapping[str, Iterable[str]]) -> str:
    """Return haproxy.cfg; `servers` holds the `server` lines (name first) of bound backends."""
    sections = [
        _globals(options),
        _defaults(options),
        _door("in", f"fd@{options.public_fd}", options, _public(options)),
        _door("peer", f"fd@{options.peer_fd}", options, _peer(options)),
        _door("again", f"unix@{options.again_socket} mode 600", options, _again(options)),
    ]
    kinds = (("p", options.peers, "peers"), ("b", options.slots, "slots"))
    sections.extend(
        _backend(name, defaults, options, servers.get(name, ()))
        for letter, count, defaults in kinds
        for name in slot_names(letter, count)
    )
    return "\n".join(sections)


def slot_names(letter: str, count: int) -> list[str]:
    """Return the names of the backends of one kind: `b` for functions, `p` for peers."""
    return [f"{letter}{index}" for index in range(count)]


def _globals(options: Options) -> str:
    # One thread: with two, HAProxy lets one request too many into a server now and then.
    return f"""\
global
  stats socket {options.admin_socket} mode 600 level admin
  stats timeout 1h
  nbthread 1
  maxconn {options.max_connections}
  tune.http.maxhdr 101
  tune.lua.session-timeout 3700s
  setenv TORPOR_HOLD_SOCKET unix@{options.hold_socket}
  lua-load {options.lua}
"""


def _defaults(options: Options) -> str:
    # HAProxy's parser answers 400 and 408 with a fixed page of its own: no directive reaches it.
    return f"""\
defaults base
  mode http
  balance leastconn
  http-reuse safe
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
  option http-no-delay
  option abortonclose
  option idle-close-on-response
  timeout http-request {options.header_seconds}s
  timeout http-keep-alive 60s
  timeout client 300s
  timeout server 1h
  timeout connect 500ms
  timeout queue {options.hold_seconds}s
  timeout tunnel 24h
  timeout client-fin 10s
{_error(500, "internal", "The gateway could not handle the request.", _ID)}
{_error(502, "bad-response", "The function ended the connection or broke the protocol.", _ID)}
{_error(503, "unavailable", "The function did not take the request in time.", _ID)}
{_error(504, "function-timeout", "The function did not answer in time.", _ID)}

defaults slots from base
  http-request set-timeout server var(txn.timeout) if {{ var(txn.timeout) -m found }}

defaults peers from base
"""


_ID = "%[var(txn.id)]"


def _error(status: int, code: str, detail: str, request_id: str) -> str:
    retry = " hdr Retry-After 1" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    body = problem(status, code, detail, request_id)
    return f"  http-error status {status} content-type {_PROBLEM}{retry} lf-string '{body}'"


# A NUL in a header's value must not pass (RFC 9110, 5.5), and HAProxy 2.6 lets it.
def _door(name: str, bind: str, options: Options, rules: str) -> str:
    return f"""\
frontend {name} from base
  bind {bind}
  http-request set-var(txn.t0) date(0,ms)
  http-request deny deny_status 400 if {{ req.hdrs -m reg '\\x00' }}
  http-after-response set-header X-Request-Id %[var(txn.id)] if {{ var(txn.id) -m found }}
  http-after-response set-header X-Torpor-Cold-Start %[date(0,ms),sub(txn.t0)] if \
{{ var(txn.cold) -m found }}
  http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
{rules}{_serve(options)}"""


def _public(options: Options) -> str:
    home = options.map(HOME_MAP)
    return f"""\
{_REQUEST_ID}  http-request del-header x-torpor- -m beg
{_find(options)}{_FORWARDED}\
  http-request set-var(txn.be) var(txn.fn),map_str({home})
  http-request set-var(txn.peer) var(txn.be) if {{ var(txn.be) -m found }}
{_rewrite("!{ var(txn.peer) -m found }")}"""


def _peer(options: Options) -> str:
    return f"""\
{_REQUEST_ID}  http-request del-header x-torpor- -m beg
{_find(options)}{_rewrite("")}"""


def _again(options: Options) -> str:
    # From a slot: found and rewritten already. From a peer's backend (the peer is away): not yet.
    again = problem(
        503, "unavailable", "The instances of the function keep refusing connections.", _ID
    )
    return f"""\
{_REQUEST_ID}  http-request set-var(txn.again) req.hdr_val(x-torpor-again),add(1)
  http-request set-header X-Torpor-Again %[var(txn.again)]
  http-request return status 503 content-type application/problem+json hdr Retry-After 1 \
lf-string '{again}' if {{ var(txn.again) -m int gt {MAX_AGAIN} }}
  http-request set-var(txn.fn) req.hdr(x-torpor-function) if \
{{ req.hdr(x-torpor-function) -m found }}
  http-request set-var(txn.done) bool(true) if {{ var(txn.fn) -m found }}
{_find(options, "!{ var(txn.done) -m found }")}{_rewrite("!{ var(txn.done) -m found }")}"""


_SANE_ID = "{ req.fhdr(x-request-id) -m reg ^[A-Za-z0-9._-]{1,128}$ }"
_REQUEST_ID = f"""\
  http-request set-var(txn.id) req.fhdr(x-request-id) if {_SANE_ID}
  http-request set-var(txn.id) uuid() if !{{ var(txn.id) -m found }}
  http-request set-header X-Request-Id %[var(txn.id)]
"""

_FORWARDED = """\
  http-request set-header X-Forwarded-For %[req.fhdr(x-forwarded-for)],\\ %[src] if \
{ req.fhdr(x-forwarded-for) -m found }
  http-request set-header X-Forwarded-For %[src] if !{ req.fhdr(x-forwarded-for) -m found }
  http-request set-header X-Forwarded-Proto http if \
!{ req.fhdr(x-forwarded-proto) -m str http https }
  http-request set-header X-Forwarded-Host %[req.hdr(host)] if \
!{ req.fhdr(x-forwarded-host) -m found }
  http-request set-var(txn.for) src
  http-request set-var(txn.node) str(),concat(,txn.for) if !{ var(txn.for) -m sub : }
  http-request set-var(txn.node) 'str("\\"["),concat(,txn.for,"]\\"")' if { var(txn.for) -m sub : }
  http-request add-header Forwarded 'for=%[var(txn.node)];host="%[req.hdr(host)]";proto=http' if \
{ req.hdr(host) -m reg ^[][A-Za-z0-9.:_-]+$ }
  http-request add-header Forwarded for=%[var(txn.node)];proto=http unless \
{ req.hdr(host) -m reg ^[][A-Za-z0-9.:_-]+$ }
  http-request set-var(txn.trace) uuid(),regsub(-,,g) if !{ req.hdr(traceparent) -m found }
  http-request set-header traceparent \
00-%[var(txn.trace)]-%[uuid(),regsub(-,,g),bytes(0,16)]-01 if { var(txn.trace) -m found }
"""


def _find(options: Options, condition: str = "") -> str:
    unknown = problem(404, "unknown-function", "No function has this address.", _ID)
    path = "{ path_beg /function/ }"
    return f"""\
  http-request set-var(txn.ns) path,field(3,/) if {path} {condition}
  http-request set-var(txn.name) path,field(4,/) if {path} {condition}
  http-request set-var(txn.fn) var(txn.ns),concat(/,txn.name),\
map_str({options.map(PATH_MAP)}) if {path} {condition}
  http-request set-var(txn.fn) req.hdr(host),host_only,lower,rtrim(.),\
map_str({options.map(HOST_MAP)}) if !{path} {condition}
  http-request return status 404 content-type application/problem+json \
lf-string '{unknown}' if !{{ var(txn.fn) -m found }}
"""


def _rewrite(condition: str) -> str:
    return f"""\
  http-request replace-path ^/function/[^/]+/[^/]+/?(.*)$ /\\1 if \
{{ path_beg /function/ }} {condition}
"""


def _serve(options: Options) -> str:
    local = "!{ var(txn.peer) -m found }"
    return f"""\
  http-request set-header X-Torpor-Function %[var(txn.fn)] if {local}
  http-request set-var(txn.be) var(txn.fn),map_str({options.map(SLOT_MAP)}) if {local} \
!{{ var(txn.again) -m found }}
  http-request lua.hold if {local} !{{ var(txn.be) -m found }}
  http-request set-var(txn.timeout) var(txn.fn),map_str_int({options.map(TIMEOUT_MAP)}) if {local}
  use_backend %[var(txn.be)]
"""


def _backend(name: str, defaults: str, options: Options, servers: Iterable[str]) -> str:
    lines = "".join(f"  server {line}\n" for line in servers)
    return f"""\
backend {name} from {defaults}
  server {AGAIN} unix@{options.again_socket} backup
{lines}"""
