"""What a process that reads a stranger's file may still do: limits of the kernel, put on by the process itself.

Always: memory, processor time, file size, open files, no core dump, no new privileges. Where the kernel has them:
Landlock (only named folders can be read, only one written, no TCP, no signal to processes outside) and a network
namespace without any network.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CLONE_NEWNET = 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls; the same on every architecture
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_FILE_RIGHTS = _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14  # those that a rule on a single file may name
_RIGHTS_OF_ABI = (0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1)  # file system rights that ABI 1, 2 and 3 know
_TCP = 0b11  # bind and connect, from ABI 4 on
_SCOPES = 0b11  # abstract sockets and signals of processes outside, from ABI 6 on


def limit_resources(*, memory_bytes: int, cpu_seconds: int, file_bytes: int, open_files: int) -> None:
    """Limits beyond what the process holds already."""
    held = _status_kb("VmSize", "VmData")
    resource.setrlimit(resource.RLIMIT_AS, (held["VmSize"] * 1024 + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_DATA, (held["VmData"] * 1024 + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 2))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent(parent_pid: int) -> None:
    """Be killed when the parent ends, also if it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def confine(*, readable: Iterable[Path], writable: Path) -> list[str]:
    """Give up what is not needed; what the kernel lacks is left out.

    Returns:
        What is in force, of "no_new_privileges", "no_network", "landlock".
    """
    libc = ctypes.CDLL(None, use_errno=True)
    in_force = []
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        in_force.append("no_new_privileges")
    if libc.unshare(_CLONE_NEWNET) == 0:
        in_force.append("no_network")
    if _landlock(libc, readable, writable):
        in_force.append("landlock")
    return in_force


def code_folders() -> list[Path]:
    """Where Python, its packages and the system's libraries lie."""
    places = [sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[1]), "/usr/lib", "/lib", "/lib64"]
    places += ["/usr/local/lib", "/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo", "/dev/null", "/dev/urandom"]
    return [path for place in places if (path := Path(place)).exists()]


def _landlock(libc: ctypes.CDLL, readable: Iterable[Path], writable: Path) -> bool:
    abi = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if abi < 1:
        return False
    rights = _RIGHTS_OF_ABI[min(abi, len(_RIGHTS_OF_ABI) - 1)]
    known = 3 if abi >= 6 else 2 if abi >= 4 else 1  # fields of the attributes
    attributes = struct.pack(f"{known}Q", *(rights, _TCP, _SCOPES)[:known])
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(libc, ruleset, path, (_READ_FILE | _READ_DIR | _EXECUTE) & rights)
        _allow(libc, ruleset, writable, rights & ~_EXECUTE)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & _FILE_RIGHTS, folder)
        libc.syscall(_ADD_RULE, ruleset, 1, rule, 0)
    finally:
        os.close(folder)


def _status_kb(*names: str) -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(found[name].split()[0]) for name in names}
