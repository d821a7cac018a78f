"""Tries what no process of the platform ever does and prints, as JSON, what each try ended with: an errno, or 0 where it was let through.

Runs inside a confinement (``python probe.py``), before anything of the platform; everything tried is harmless where it is allowed.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.hardening.confine import _library

#: Calls by name with arguments that cannot do harm.
CALLS: dict[str, tuple[int, ...]] = {
    "ptrace": (0, 0, 0, 0),  # PTRACE_TRACEME
    "process_vm_readv": (0, 0, 0, 0, 0, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "pivot_root": (0, 0),
    "chroot": (0,),
    "unshare": (0,),
    "setns": (-1, 0),
    "keyctl": (0, -3, 0, 0, 0),
    "add_key": (0, 0, 0, 0, 0),
    "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, -1, -1, 0),
    "userfaultfd": (-1,),
    "io_uring_setup": (0, 0),
    "init_module": (0, 0, 0),
    "finit_module": (-1, 0, 0),
    "kexec_load": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "swapon": (0, 0),
    "open_by_handle_at": (-1, 0, 0),
    "name_to_handle_at": (-1, 0, 0, 0, 0),
    "personality": (0xFFFFFFFF,),
    "mknod": (0, 0, 0),
    "chown": (0, 0, 0),
    "setuid": (0xFFFFFFFF,),
    "settimeofday": (0, 0),
    "clock_settime": (0, 0),
    "seccomp": (0xFFFF, 0, 0),
    "memfd_create": (0, 0),
    "mbind": (0, 0, 0, 0, 0, 0),
    "move_pages": (0, 0, 0, 0, 0, 0),
    "quotactl": (0, 0, 0, 0),
    "syslog": (3, 0, 0),
    "acct": (1,),
}
#: A call with one argument the profile refuses, beside calls of that name it allows.
ARGUMENTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "socket of netlink": ("socket", (16, 3, 0)),
    "socket of packets": ("socket", (17, 3, 0)),
    "socket of algorithms": ("socket", (38, 5, 0)),
    "ioctl TIOCSTI": ("ioctl", (-1, 0x5412, 0)),
    "ioctl TIOCSTI, high bits set": ("ioctl", (-1, 0xF_0000_5412, 0)),
    "clone with a user namespace": ("clone", (0x1000_0000 | 0x80_0000, 0, 0, 0, 0)),
    "prctl to dump": ("prctl", (4, 1, 0, 0, 0)),
}


def _tried(number: int, arguments: tuple[int, ...]) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    return ctypes.get_errno() if answer == -1 else 0


def tried_apart(number: int, arguments: tuple[int, ...]) -> int:
    """As ``_tried`` in a child, for what changes or splits the caller where it is allowed."""
    child = os.fork()
    if child == 0:
        os._exit(min(_tried(number, arguments), 200))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def written(path: str) -> str:
    """What writing a file there ends with."""
    try:
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    return "written"


def main() -> None:
    """Try everything; the folders to write into are given as arguments."""
    library = _library()
    numbers = {
        name: library.seccomp_syscall_resolve_name(name.encode())
        for name in {*CALLS, *(call for call, _ in ARGUMENTS.values())}
    }
    tries = {name: tried_apart(numbers[name], values) for name, values in CALLS.items()}
    tries |= {title: tried_apart(numbers[name], values) for title, (name, values) in ARGUMENTS.items()}
    tries["socket of this machine"] = tried_apart(numbers["socket"], (1, 1, 0))
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    print(
        json.dumps(
            {
                "tries": tries,
                "files": {folder: written(f"{folder}/probe-{os.getpid()}") for folder in sys.argv[1:]},
                "status": {name: status[name] for name in ("Uid", "CapEff", "CapPrm", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")},
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
