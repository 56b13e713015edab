"""Tells every gateway that this pod listens, so that nobody waits for the kubelet to notice.

The kubelet publishes a pod's address up to a second after the process listens. One small POST by a
plain socket, in a thread of its own: it never delays serving, and its failure does no harm.
"""

from __future__ import annotations

import _socket
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_SECONDS = 2.0
_DEFAULT_PORT = 80


def announce_in_background(environment: Mapping[str, str], port: int) -> None:
    """Announce `port` to all addresses of TORPOR_ANNOUNCE_URL; nothing if it is not set."""
    url = environment.get("TORPOR_ANNOUNCE_URL", "")
    if not url.startswith("http://"):
        return
    function = environment.get("TORPOR_FUNCTION", "")
    token = environment.get("TORPOR_ANNOUNCE_TOKEN", "")
    threading.Thread(
        target=_announce, args=(url, function, token, port), name="announce", daemon=True
    ).start()


def _announce(url: str, function: str, token: str, port: int) -> None:
    authority, _, path = url.removeprefix("http://").partition("/")
    host, _, number = authority.partition(":")
    body = f'{{"function":"{function}","port":{port}}}'
    message = (
        f"POST /{path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode()
    for address in _addresses(host, int(number or _DEFAULT_PORT)):
        threading.Thread(target=_post, args=(*address, message), daemon=True).start()


def _addresses(host: str, port: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    try:
        # As bytes: a str would be put through the IDNA codec, whose import takes milliseconds.
        found = _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM)
    except OSError as error:
        _warn(f"cannot resolve {host}: {error}")
        return
    for family, _, _, _, address in dict.fromkeys(found):
        yield family, address


def _post(family: int, address: tuple[Any, ...], message: bytes) -> None:
    connection = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_SECONDS)
        connection.connect(address)
        connection.sendall(message)
        status = connection.recv(64).partition(b"\r\n")[0].decode("latin-1")
    except OSError as error:
        _warn(f"cannot announce to {address[0]}: {error}")
        return
    finally:
        connection.close()
    if " 2" not in status[:10]:
        _warn(f"announcement refused by {address[0]}: {status}")


def _warn(message: str) -> None:
    from torpor_runtime.logs import write_line  # only where something failed

    write_line("warning", message)
