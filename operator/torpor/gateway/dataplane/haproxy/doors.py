"""The doors of HAProxy: how a request that came in finds its function and its way. Pure.

A request takes one of three: `in` (clients), `peer` (another gateway, which found that the
function's home is here) and `again` (this HAProxy itself: a request that had been queued in a slot
whose servers went). All three find the function, find its slot in slot.map or ask Python (`hold`),
and go to the slot's backend.

Clients may stand behind an ingress: what they say in X-Forwarded-Proto and X-Forwarded-Host is
kept, and their X-Forwarded-For is continued.
"""

from __future__ import annotations

from torpor.gateway.dataplane.forwarding import BEGUN
from torpor.gateway.dataplane.haproxy.answers import (
    CONTENT_TYPE,
    FULL,
    FULL_MARK,
    NOT_ALLOWED,
    OVER_RESERVED,
    REFUSING,
    UNKNOWN,
    counting_rules,
)
from torpor.gateway.dataplane.haproxy.layout import (
    ASYNC_BACKEND,
    EVENTS_BACKEND,
    HOME_MAP,
    HOST_MAP,
    LAMBDA_BACKEND,
    PATH_MAP,
    PRESENT_TABLE,
    RESERVED_MAP,
    ROUTE_MAP,
    SLOT_MAP,
    Options,
)
from torpor.gateway.http_table import CALLS_PATTERN, EVENTS, OWN_PREFIX
from torpor.gateway.routes import LAMBDA, LAMBDA_PATTERN, RESULTS_PREFIX
from torpor.resources.http_route import ANY_HOST, END, METHODS, OTHER_METHOD
from torpor.resources.run import RUNS_PREFIX

MAX_AGAIN = 8
"""How often one request may come back; each time is one more connection through HAProxy."""


def render_doors(options: Options) -> list[str]:
    """Return the sections of the three doors."""
    most = f"  maxconn {options.max_connections}\n"
    return [
        _door("in", f"  bind fd@{options.public_fd}\n{most}{_CALLER}", _public(options)),
        _door("peer", f"  bind fd@{options.peer_fd}\n{most}", _peer(options)),
        _door("again", f"  bind unix@{options.again_socket} mode 600\n", _again(options)),
    ]


def crowd_rules(options: Options) -> str:
    """Return the rules of a slot that refuse what a function has no connections left for.

    See `crowd`. While half of all connections are free no function can have too many. HAProxy 2.6
    cannot say how many there are: with it, those of other gateways are not looked at.
    """
    most = options.max_connections
    return f"""\
.if version_before(3.0)
{_crowd("fe_conn(in)", most)}
.else
{_crowd("act_conn", most)}
.endif"""


def _crowd(present: str, most: int) -> str:
    return f"""\
  http-request set-var(txn.inside) be_conn if {{ {present} ge {most // 2} }}
  http-request return status {FULL.status} content-type {CONTENT_TYPE} hdr Retry-After 1 \
hdr Connection close hdr {FULL_MARK} 1 lf-string '{FULL.text()}' if \
{{ var(txn.inside) -m found }} {{ {present},add(txn.inside) gt {most} }}"""


def _door(name: str, connection: str, rules: str) -> str:
    return f"""\
frontend {name} from base
{connection}{_REQUEST_ID}{_NO_NUL}\
  http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
  http-after-response set-header X-Request-Id %[var(txn.id)] if {{ var(txn.id) -m found }}
  http-after-response set-header X-Torpor-Cold-Start %[date(0,ms),sub(txn.t0)] if \
{{ var(txn.cold) -m found }}
{counting_rules()}
{rules}\
  use_backend %[var(txn.be)]
"""


def _public(options: Options) -> str:
    home = f"""\
  http-request set-var(txn.be) var(txn.fn),map_str({options.map(HOME_MAP)}) if !{_ASYNC}
  http-request allow if {{ var(txn.be) -m found }}
"""
    # What is called asynchronously is counted and held when it is delivered.
    here = f"""\
  http-request set-var(txn.be) str({ASYNC_BACKEND}) if {_ASYNC} {_KNOWN}
  http-request disable-l7-retry if {_ASYNC}
{_slot(options, f"if !{_ASYNC}")}"""
    return f"""\
  http-request del-header x-torpor- -m beg
{_FORWARDED}\
  http-request set-var(txn.async) bool(true) if {_PREFERS}
{_ways(options, home, here)}"""


def _peer(options: Options) -> str:
    return f"""\
  http-request del-header x-torpor- -m beg
{_ways(options, "", _slot(options))}"""


def _again(options: Options) -> str:
    # From a slot: found, rewritten and counted. From a peer's backend (the peer is away): not yet.
    # Once it may have only been queued; after that an instance or the peer has had it.
    return f"""\
  http-request set-var(txn.again) req.hdr_val(x-torpor-again),add(1)
  http-request set-header X-Torpor-Again %[var(txn.again)]
  http-request return status 503 content-type {CONTENT_TYPE} hdr Retry-After 1 \
lf-string '{REFUSING.text()}' if {{ var(txn.again) -m int gt {MAX_AGAIN} }}
  http-request set-var(txn.fn) req.hdr(x-torpor-function)
  http-request disable-l7-retry if {{ var(txn.again) -m int gt 1 }}
{_hold(options)}{_ways(options, "", "")}"""


_KNOWN = "{ var(txn.fn) -m found }"
_TO_EVENTS = f"{{ var(txn.fn) -m str {EVENTS} }}"
_TO_LAMBDA = f"{{ var(txn.fn) -m str {LAMBDA} }}"
_PREFERS = "{ req.hdr(prefer) -m reg -i '^respond-async[ ]*(;.*)?$' }"
_ASYNC = "{ var(txn.async) -m found }"
_SANE_ID = "{ req.fhdr(x-request-id) -m reg ^[A-Za-z0-9._-]{1,128}$ }"
_SANE_HOST = "{ req.hdr(host) -m reg ^[][A-Za-z0-9.:_-]+$ }"
_REQUEST_ID = f"""\
  http-request set-var(txn.id) req.fhdr(x-request-id) if {_SANE_ID}
  http-request set-var(txn.id) uuid() if !{{ var(txn.id) -m found }}
  http-request set-header X-Request-Id %[var(txn.id)]
"""

# A NUL in a header's value must not pass (RFC 9110, 5.5), and HAProxy 2.6 lets it.
_NO_NUL = """\
.if version_before(3.0)
  http-request deny deny_status 400 if { req.hdrs -m reg '\\x00' }
.endif
"""

_RANDOM = "%[rand,hex,lower,bytes(8,8)]"
"""Eight random hexadecimal digits in HAProxy's words."""

# Who asks is put into words once for a connection. A listener of both families sees IPv4 clients as
# IPv6 ones (RFC 4291, 2.5.5.2); functions see them as what they are.
_CALLER = """\
  tcp-request session set-var(sess.for) src,concat(),regsub(^::ffff:,)
  tcp-request session set-var(sess.node) var(sess.for) if !{ var(sess.for) -m sub : }
  tcp-request session set-var(sess.node) 'str("\\"["),concat(,sess.for,"]\\"")' if \
{ var(sess.for) -m sub : }
"""

_FORWARDED = f"""\
  http-request set-header X-Forwarded-For %[req.fhdr(x-forwarded-for)],\\ %[var(sess.for)] if \
{{ req.fhdr(x-forwarded-for) -m found }}
  http-request add-header X-Forwarded-For %[var(sess.for)] if \
!{{ req.fhdr(x-forwarded-for) -m found }}
  http-request set-header X-Forwarded-Proto http if \
!{{ req.fhdr(x-forwarded-proto) -m str http https }}
  http-request add-header X-Forwarded-Host %[req.hdr(host)] if \
!{{ req.fhdr(x-forwarded-host) -m found }}
  http-request add-header Forwarded 'for=%[var(sess.node)];host="%[req.hdr(host)]";proto=http' if \
{_SANE_HOST}
  http-request add-header Forwarded for=%[var(sess.node)];proto=http unless {_SANE_HOST}
  http-request replace-header tracestate '^(.*,)?[[:space:]]*torpor=[^,]*(,.*)?$' '\\1\\2' if \
{{ req.fhdr(tracestate) -m sub torpor= }}
  http-request del-header tracestate if {{ req.fhdr(tracestate) -m reg (^|,)[[:space:]]*torpor= }}
  http-request set-header tracestate {BEGUN} if !{{ req.fhdr(traceparent) -m found }}
  http-request add-header traceparent 00-{_RANDOM * 4}-{_RANDOM * 2}-01 if \
!{{ req.fhdr(traceparent) -m found }}
"""


def _hold(options: Options) -> str:
    """Return the rules that hold a request; where that has a span, what it goes to is below it."""
    told = "  http-request del-header tracestate if { var(txn.begun) -m found }\n"
    return f"""\
  http-request set-var(txn.t0) date(0,ms)
  http-request set-var(txn.begun) bool(true) if {_KNOWN} {{ req.fhdr(tracestate) -m str {BEGUN} }}
  http-request lua.hold if {_KNOWN}
{told if options.tells_holds else ""}\
  http-request allow if {_KNOWN}
"""


def _ways(options: Options, elsewhere: str, here: str) -> str:
    """Return how a request finds its backend: one for a function's own address first, at once.

    `elsewhere` are the rules that may find it with another gateway, `here` those that find it here;
    if both do not, it is held.
    """
    return f"""\
{_find(options)}{elsewhere}\
  http-request replace-path ^/function/[^/]+/[^/]+/?(.*)$ /\\1 if {{ path_beg /function/ }} {_KNOWN}
{_serve(options, here)}\
{_find_others(options)}{_serve_neighbours()}{elsewhere}\
  http-request lua.rewrite
{_serve(options, here)}"""


def _find(options: Options) -> str:
    return f"""\
  http-request set-var(txn.fn) req.hdr(host),host_only,lower,rtrim(.),\
map_str({options.map(HOST_MAP)}) if !{{ path_beg /function/ }}
  http-request set-var(txn.fn) path,field(3,/,2),map_str({options.map(PATH_MAP)}) if \
{{ path_beg /function/ }}
"""


def _find_others(options: Options) -> str:
    """Return the rules that find what is no function's address, or refuse it."""
    unknown = f"!{_KNOWN}"
    missed = f"{unknown} !{{ var(txn.to) -m found }}"
    route = options.map(ROUTE_MAP)
    events = (f"path_beg {RESULTS_PREFIX}", f"path_reg {CALLS_PATTERN}") if options.events else ()
    to_events = "".join(
        f"  http-request set-var(txn.fn) str({EVENTS}) if {{ {each} }}\n" for each in events
    )
    return f"""\
  http-request set-var(txn.be) str({ASYNC_BACKEND}) if {{ path_beg {RUNS_PREFIX} }}
  http-request allow if {{ var(txn.be) -m found }}
{to_events}\
  http-request return status 404 content-type {CONTENT_TYPE} \
lf-string '{UNKNOWN.text()}' if {{ path_beg /function/ {OWN_PREFIX} }} {unknown}
  http-request set-var(txn.fn) str({LAMBDA}) if {{ path_reg {LAMBDA_PATTERN} }}
  http-request set-var(txn.path) path,concat('{END}')
  http-request set-var(txn.host) req.hdr(host),host_only,lower,rtrim(.)
  http-request set-var(txn.method) str({OTHER_METHOD})
  http-request set-var(txn.method) method if {{ method {" ".join(METHODS)} }}
  http-request set-var(txn.to) var(txn.method),concat(:,txn.host),concat(,txn.path),\
map_beg({route}) if {unknown}
  http-request set-var(txn.to) var(txn.method),concat(:{ANY_HOST},txn.path),\
map_beg({route}) if {missed}
{_allowed(options, missed)}\
  http-request return status 405 content-type {CONTENT_TYPE} hdr Allow %[var(txn.allow)] \
lf-string '{NOT_ALLOWED.text()}' if {missed} {{ var(txn.allow) -m found }}
  http-request return status 404 content-type {CONTENT_TYPE} \
lf-string '{UNKNOWN.text()}' if {missed}
  http-request set-var(txn.fn) var(txn.to),field(1,|)
"""


def _allowed(options: Options, missed: str) -> str:
    """Return the rules that find the methods for which what is missed would have a way."""
    path = f"concat(,txn.path),map_beg({options.map(ROUTE_MAP)}) -m found"
    rules = "".join(
        f"""\
  http-request set-var(txn.allow) 'str(",{method}"),concat(,txn.allow)' if \
{missed} {{ str({method}:),concat(,txn.host),{path} }} or \
{missed} {{ str({method}:{ANY_HOST}),{path} }}
"""
        for method in reversed(METHODS)
    )
    return f"""{rules}  http-request set-var(txn.allow) 'var(txn.allow),ltrim(",")' if {missed}
"""


def _serve_neighbours() -> str:
    """Return the rules for what other processes answer: the events role and the Lambda API."""
    return f"""\
  http-request set-var(txn.be) str({LAMBDA_BACKEND}) if {_TO_LAMBDA}
  http-request set-var(txn.be) str({EVENTS_BACKEND}) if {_TO_EVENTS}
  http-request set-header X-Torpor-Path %[path] if {_TO_EVENTS}
  http-request lua.rewrite if {_TO_EVENTS} {{ var(txn.to) -m found }}
  http-request replace-path ^{RESULTS_PREFIX}([^/]+)/([^/]+)$ /v1/namespaces/\\1/calls/\\2 if \
{_TO_EVENTS}
  http-request allow if {{ var(txn.be) -m found }}
"""


def _slot(options: Options, condition: str = "") -> str:
    slots = options.map(SLOT_MAP)
    return f"  http-request set-var(txn.be) var(txn.fn),map_str({slots}) {condition}\n"


# Nothing comes between the question of reserved concurrency and the count.
def _serve(options: Options, here: str) -> str:
    """Return the rules for a function that is served here; without one they change nothing."""
    limited = "{ var(txn.reserved) -m found }"
    present = f"var(txn.fn),table_conn_cur({PRESENT_TABLE}),sub(txn.reserved)"
    return f"""\
  http-request set-header X-Torpor-Function %[var(txn.fn)] if {_KNOWN}
{here}\
  http-request set-var(txn.reserved) var(txn.fn),map_str_int({options.map(RESERVED_MAP)}) if \
!{_ASYNC}
  http-request return status 429 content-type {CONTENT_TYPE} hdr Retry-After 1 \
lf-string '{OVER_RESERVED.text()}' if {limited} {{ {present} ge 0 }}
  http-request track-sc0 var(txn.fn) table {PRESENT_TABLE} if {limited}
  http-request allow if {{ var(txn.be) -m found }}
{_hold(options)}"""
