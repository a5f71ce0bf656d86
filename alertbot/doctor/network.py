"""What to do about a host that cannot be reached, and whether one can be."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from urllib.request import getproxies, proxy_bypass

CONNECT_WITHIN_S = 5.0


def through_proxy(host: str, scheme: str = "https") -> bool:
    """Whether requests to this host go through a proxy that the environment names."""
    return bool(getproxies().get(scheme)) and not proxy_bypass(host)


def let_through(host: str) -> str:
    """What to do so that this host can be reached."""
    if through_proxy(host):
        return f"check HTTPS_PROXY: the proxy must let HTTPS to {host} through"
    return f"allow HTTPS to {host} in the firewall and in DNS; behind a proxy, set HTTPS_PROXY"


def connection_problem(host: str, port: int, *, tls: bool) -> str:
    """Why no connection can be made, in a few words, or ""."""
    try:
        with closing(socket.create_connection((host, port), timeout=CONNECT_WITHIN_S)) as sock:
            if tls:
                ssl.create_default_context().wrap_socket(sock, server_hostname=host).close()
    except OSError as error:
        return why(error)
    return ""


def why(error: BaseException) -> str:
    """Why a connection failed, in a few words that name no address; "" for an exception of another kind."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not valid, or its authority is not trusted here"
    if isinstance(error, ssl.SSLError):
        return "the server does not speak TLS"
    if isinstance(error, socket.gaierror):
        return "the host name was not found"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, TimeoutError):
        return "the connection timed out"
    return "the connection failed" if isinstance(error, OSError) else ""
