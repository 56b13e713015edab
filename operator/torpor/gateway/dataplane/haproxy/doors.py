"""The doors of HAProxy: how a request that came in finds its function and its way. Pure.

A request takes one of three: `in` (clients), `peer` (another gateway, which found that the
function's home is here) and `again` (this HAProxy itself: a request that had been queued in a slot
whose servers went). All three find the function, find its slot in slot.map or ask Python (`hold`),
and go to the slot's backend.

Clients may stand behind an ingress: what they say in X-Forwarded-Proto and X-Forwarded-Host is
kept, and their X-Forwarded-For is continued.
"""

from __future__ import annotations

from torpor.gateway.dataplane.haproxy.answers import (
    CONTENT_TYPE,
    NOT_ALLOWED,
    REFUSING,
    UNKNOWN,
    counting_rules,
)
from torpor.gateway.dataplane.haproxy.layout import (
    ALLOW_MAP,
    EVENTS_BACKEND,
    HOME_MAP,
    HOST_MAP,
    PATH_MAP,
    ROUTE_MAP,
    SLOT_MAP,
    TIMEOUT_MAP,
    Options,
)
from torpor.gateway.http_table import CALLS_PATTERN, EVENTS
from torpor.resources.http_route import ANY_HOST, METHODS, OTHER_METHOD

MAX_AGAIN = 8
"""How often one request may come back; each time is one more connection through HAProxy."""


def render_doors(options: Options) -> list[str]:
    """Return the sections of the three doors."""
    return [
        _door("in", f"fd@{options.public_fd}", options, _public(options)),
        _door("peer", f"fd@{options.peer_fd}", options, _peer(options)),
        _door("again", f"unix@{options.again_socket} mode 600", options, _again(options)),
    ]


# A NUL in a header's value must not pass (RFC 9110, 5.5), and HAProxy 2.6 lets it.
def _door(name: str, bind: str, options: Options, rules: str) -> str:
    return f"""\
frontend {name} from base
  bind {bind}
  http-request set-var(txn.t0) date(0,ms)
{_REQUEST_ID}  http-request deny deny_status 400 if {{ req.hdrs -m reg '\\x00' }}
  http-after-response set-header X-Request-Id %[var(txn.id)] if {{ var(txn.id) -m found }}
  http-after-response set-header X-Torpor-Cold-Start %[date(0,ms),sub(txn.t0)] if \
{{ var(txn.cold) -m found }}
  http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
{counting_rules()}
{rules}{_serve(options)}"""


def _public(options: Options) -> str:
    home = options.map(HOME_MAP)
    return f"""\
  http-request del-header x-torpor- -m beg
{_find(options)}{_FORWARDED}\
  http-request set-var(txn.be) var(txn.fn),map_str({home})
  http-request set-var(txn.peer) var(txn.be) if {{ var(txn.be) -m found }}
{_rewrite("!{ var(txn.peer) -m found }")}"""


def _peer(options: Options) -> str:
    return f"""\
  http-request del-header x-torpor- -m beg
{_find(options)}{_rewrite("")}"""


def _again(options: Options) -> str:
    # From a slot: found and rewritten already. From a peer's backend (the peer is away): not yet.
    return f"""\
  http-request set-var(txn.again) req.hdr_val(x-torpor-again),add(1)
  http-request set-header X-Torpor-Again %[var(txn.again)]
  http-request return status 503 content-type {CONTENT_TYPE} hdr Retry-After 1 \
lf-string '{REFUSING.text()}' if {{ var(txn.again) -m int gt {MAX_AGAIN} }}
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
    path = "{ path_beg /function/ }"
    return f"""\
  http-request set-var(txn.ns) path,field(3,/) if {path} {condition}
  http-request set-var(txn.name) path,field(4,/) if {path} {condition}
  http-request set-var(txn.fn) var(txn.ns),concat(/,txn.name),\
map_str({options.map(PATH_MAP)}) if {path} {condition}
  http-request set-var(txn.fn) req.hdr(host),host_only,lower,rtrim(.),\
map_str({options.map(HOST_MAP)}) if !{path} {condition}
{_find_trigger(options)}\
  http-request return status 404 content-type {CONTENT_TYPE} \
lf-string '{UNKNOWN.text()}' if !{{ var(txn.fn) -m found }}
"""


def _find_trigger(options: Options) -> str:
    unknown = "!{ var(txn.fn) -m found } !{ path_beg /function/ }"
    missed = f"{unknown} !{{ var(txn.to) -m found }}"
    calls = f"{unknown} {{ path_reg {CALLS_PATTERN} }}" if options.events else ""
    route, allow = options.map(ROUTE_MAP), options.map(ALLOW_MAP)
    to_events = f"  http-request set-var(txn.fn) str({EVENTS}) if {calls}\n" if calls else ""
    return f"""\
{to_events}\
  http-request set-var(txn.path) path if {unknown}
  http-request set-var(txn.host) req.hdr(host),host_only,lower,rtrim(.) if {unknown}
  http-request set-var(txn.method) str({OTHER_METHOD}) if {unknown}
  http-request set-var(txn.method) method if {unknown} {{ method {" ".join(METHODS)} }}
  http-request set-var(txn.to) var(txn.method),concat(:,txn.host),concat(,txn.path,/),\
map_beg({route}) if {unknown}
  http-request set-var(txn.to) var(txn.method),concat(:{ANY_HOST},txn.path,/),\
map_beg({route}) if {missed}
  http-request set-var(txn.allow) str({ANY_HOST}),concat(,txn.path,/),map_beg({allow}) if {missed}
  http-request set-var(txn.allow) var(txn.host),concat(,txn.path,/),map_beg({allow}) if {missed}
  http-request return status 405 content-type {CONTENT_TYPE} hdr Allow %[var(txn.allow)] \
lf-string '{NOT_ALLOWED.text()}' if {missed} {{ var(txn.allow) -m found }}
  http-request set-var(txn.fn) var(txn.to),field(1,|) if {{ var(txn.to) -m found }}
"""


_TO_EVENTS = f"{{ var(txn.fn) -m str {EVENTS} }}"


def _rewrite(condition: str) -> str:
    return f"""\
  http-request set-header X-Torpor-Path %[path] if {_TO_EVENTS} {condition}
  http-request lua.rewrite if {{ var(txn.to) -m found }} {condition}
  http-request replace-path ^/function/[^/]+/[^/]+/?(.*)$ /\\1 if \
{{ path_beg /function/ }} {condition}
"""


def _serve(options: Options) -> str:
    local = "!{ var(txn.peer) -m found }"
    return f"""\
  http-request set-header X-Torpor-Function %[var(txn.fn)] if {local} !{_TO_EVENTS}
  http-request set-var(txn.be) str({EVENTS_BACKEND}) if {_TO_EVENTS}
  http-request set-var(txn.be) var(txn.fn),map_str({options.map(SLOT_MAP)}) if {local} \
!{{ var(txn.again) -m found }}
  http-request lua.hold if {local} !{{ var(txn.be) -m found }}
  http-request set-var(txn.timeout) var(txn.fn),map_str_int({options.map(TIMEOUT_MAP)}) if {local}
  use_backend %[var(txn.be)]
"""
