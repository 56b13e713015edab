"""HAProxy's configuration and map files, rendered from what the driver wants. Pure.

Everything that a restart must bring back is in these files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from torpor.gateway.dataplane.forwarding import BEGUN
from torpor.gateway.dataplane.haproxy.answers import counter_lines, error_lines
from torpor.gateway.dataplane.haproxy.doors import crowd_rules, render_doors
from torpor.gateway.dataplane.haproxy.layout import (
    AGAIN,
    ASYNC_BACKEND,
    EVENTS_BACKEND,
    LAMBDA_BACKEND,
    PRESENT_TABLE,
    TIMEOUT_MAP,
    Options,
    slot_names,
)

# Checked only after a failed connection: down at the first refusal, up when it accepts again.
# HAProxy 2.6 keeps no connection to a server that was added while it runs unless told how many.
_HEALTH = (
    "check inter 1h fastinter 100ms downinter 100ms fall 1 rise 1"
    " observe layer4 error-limit 1 on-error mark-down"
    " pool-max-conn 1000 pool-purge-delay 1s"
)


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
    sections = [_globals(options), _defaults(options), *render_doors(options)]
    kinds = (("p", options.peers, "peers"), ("b", options.slots, "slots"))
    sections.extend(
        _backend(name, defaults, options, servers.get(name, ()))
        for letter, count, defaults in kinds
        for name in slot_names(letter, count)
    )
    sections += [_lambda(options), _async(options), _present()]
    if options.events:
        sections.append(_events(*options.events))
    return "\n".join(sections)


def _globals(options: Options) -> str:
    # One thread: with two, HAProxy lets one request too many into a server now and then.
    # Sockets to Python and idle ones to servers need more descriptors than two for each client, and
    # HAProxy takes as many as its maxconn calls for: the doors take fewer.
    # No cache: what expressions are matched with is another in each request.
    return f"""\
global
  stats socket {options.admin_socket} mode 600 level admin
  stats timeout 1h
  nbthread 1
  maxconn {options.max_connections * 9 // 8}
  tune.http.maxhdr 101
  tune.pattern.cache-size 0
  tune.lua.session-timeout 3700s
  setenv TORPOR_HOLD_SOCKET unix@{options.hold_socket}
  lua-load {options.lua}
{counter_lines()}
"""


def _defaults(options: Options) -> str:
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
{error_lines()}

defaults slots from base
  http-request set-timeout server var(txn.fn),map_str_int({options.map(TIMEOUT_MAP)})
{crowd_rules(options)}

defaults peers from base
"""


# What is behind these begins traces itself, with a span that it tells.
_UNTRACED = f"""\
  http-request del-header traceparent if {{ req.fhdr(tracestate) -m str {BEGUN} }}
  http-request del-header tracestate if {{ req.fhdr(tracestate) -m str {BEGUN} }}
"""


def _lambda(options: Options) -> str:
    # A call takes as long as its function may be waited for and may take.
    return f"""\
backend {LAMBDA_BACKEND} from base
  timeout server 2h
{_UNTRACED}\
  server python unix@{options.lambda_socket}
"""


def _async(options: Options) -> str:
    return f"""\
backend {ASYNC_BACKEND} from base
  timeout server 60s
{_UNTRACED}\
  server python unix@{options.async_socket}
"""


def _present() -> str:
    # An entry that counts anything is never dropped; others are when the table is full.
    return f"""\
backend {PRESENT_TABLE} from base
  stick-table type string len 128 size 50k store conn_cur
"""


def _events(host: str, port: int) -> str:
    if _is_address(host):
        return f"backend {EVENTS_BACKEND} from base\n{_UNTRACED}  server events {host}:{port}\n"
    return f"""\
resolvers cluster
  parse-resolv-conf
  accepted_payload_size 8192
  hold valid 5s

backend {EVENTS_BACKEND} from base
{_UNTRACED}\
  server events {host}:{port} resolvers cluster init-addr none
"""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _backend(name: str, defaults: str, options: Options, servers: Iterable[str]) -> str:
    lines = "".join(f"  server {line}\n" for line in servers)
    return f"""\
backend {name} from {defaults}
  server {AGAIN} unix@{options.again_socket} backup
{lines}"""
