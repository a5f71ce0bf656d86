"""The name of a poller, and whether the process behind such a name has ended.

A process id is unique only within one boot and one pid namespace: in two containers with the same host name both
pollers may be process 1. So the name holds all of it, "host, process 123 (id of this run, namespace, boot, start)", as
far as /proc knows it (see proc(5)); elsewhere only the id of the run tells two pollers apart.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from pathlib import Path

_NAME = re.compile(
    r"(?P<host>.*), process (?P<pid>\d+) "
    r"\(run \w+(?P<world>, pid:\[\d+\], boot [\w-]+)?(, at (?P<start>\d+))?\)"
)


def name_of_poller() -> str:
    """A name for a poller in this process. No two are equal, on whatever machine."""
    pid = os.getpid()
    start = _start(pid)
    world = _world()
    at = f", at {start}" if world and start else ""
    return f"{socket.gethostname()}, process {pid} (run {secrets.token_hex(4)}{world}{at})"


def is_gone(name: str) -> bool:
    """Whether the poller of this name has certainly ended. False if that cannot be known: then its lease expires.

    It cannot be known for another host, another boot (two machines may have the same name) or another pid namespace.
    """
    found = _NAME.fullmatch(name)
    if found is None or found["host"] != socket.gethostname() or (found["world"] or "") != _world():
        return False
    if os.name != "posix":
        return False  # signal 0 does not test for a process there
    pid = int(found["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    start = _start(pid)
    return bool(start and found["start"]) and start != found["start"]  # otherwise another process has its number


def is_alive(name: str) -> bool:
    """Whether the poller of this name certainly runs, on this machine. False if that cannot be known."""
    found = _NAME.fullmatch(name)
    if found is None or not found["start"] or found["host"] != socket.gethostname() or found["world"] != _world():
        return False
    return _start(int(found["pid"])) == found["start"]


def _world() -> str:
    """Boot and pid namespace; "" if there is no /proc, or it belongs to another namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f", {os.readlink('/proc/self/ns/pid')}, boot {boot}"
    except OSError:
        return ""


def _start(pid: int) -> str:
    """When a process started, in clock ticks since the boot; "" if that cannot be read."""
    try:
        # The second field, the program's name in parentheses, may hold anything; the 22nd is the start.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
