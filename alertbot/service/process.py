"""How a poller names itself, and whether the one behind such a name is gone.

A process id means something only within one boot and one pid namespace: in two containers of one host name both pollers
may be process 1. So the name says all of it, "host, process 123 (id of this run, namespace, boot, start)", where
/proc says it (see proc(5)); elsewhere the id of the run alone tells two pollers apart.
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
    """A name for one poller of this process. No two are equal, wherever they run."""
    pid = os.getpid()
    start = _start(pid)
    world = _world()
    at = f", at {start}" if world and start else ""
    return f"{socket.gethostname()}, process {pid} (run {secrets.token_hex(4)}{world}{at})"


def is_gone(name: str) -> bool:
    """Whether the poller of this name surely lives no more. False where nobody here can tell: then its lease runs out.

    That is so for another host, another boot (two machines may bear one name) and another pid namespace.
    """
    found = _NAME.fullmatch(name)
    if found is None or found["host"] != socket.gethostname() or (found["world"] or "") != _world():
        return False
    if os.name != "posix":
        return False  # signal 0 is not a question there
    pid = int(found["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    start = _start(pid)
    return bool(start and found["start"]) and start != found["start"]  # else its number went to another process


def _world() -> str:
    """Boot and pid namespace, "" where there is no /proc or it is that of another namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f", {os.readlink('/proc/self/ns/pid')}, boot {boot}"
    except OSError:
        return ""


def _start(pid: int) -> str:
    """When a process began, in clock ticks since the boot; "" where that cannot be read."""
    try:
        # The second field, the program's name in parentheses, may hold anything; the 22nd is the start.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
