"""``python confine.py [--data FOLDER [NEEDED ...]] -- COMMAND``: become a command under the seccomp profile containers of the platform have.

Reads ``deploy/container/seccomp.json`` (the format of Docker and Podman) and loads it with libseccomp, as container runtimes do; what they add
around it, no new privileges, no capabilities, another user, comes from ``setpriv``. With ``--data`` every file system is read-only first but for
that folder, as ``read_only: true`` makes it; that needs a mount namespace of its own and the right to mount. ``NEEDED`` folders are made
reachable for other users there, where one above them is closed (a checkout in root's home). Standard library only: it runs before anything of the
platform. Prints one sentence and exits with 70 when it cannot do what it was asked.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import sys
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).resolve().parents[2] / "deploy" / "container" / "seccomp.json"
CANNOT = 70

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_OPERATORS = {
    "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7,
}  # fmt: skip
#: mount_setattr(2); glibc before 2.36 has no function for it.
_MOUNT_SETATTR, _AT_RECURSIVE, _RDONLY = 442, 0x8000, 1
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


class _Argument(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint), ("operator", ctypes.c_int), ("value", ctypes.c_uint64), ("second", ctypes.c_uint64),
    )  # fmt: skip


class CannotConfineError(Exception):
    """The text says what is missing and what to do."""


def allowed_names(profile: dict[str, Any]) -> set[str]:
    """The calls a profile lets through, with or without conditions."""
    return {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def _library() -> Any:
    try:
        library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2", use_errno=True)
    except OSError:
        raise CannotConfineError(
            "libseccomp is missing: install it (on Debian: apt-get install libseccomp2)."
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    for name in ("seccomp_load", "seccomp_release", "seccomp_rule_add_array"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Argument),
    )  # fmt: skip
    return library


def _action(rule: dict[str, Any], default: int) -> int:
    if rule["action"] == "SCMP_ACT_ALLOW":
        return _ALLOW
    if rule["action"] == "SCMP_ACT_ERRNO":
        return _ERRNO | int(rule.get("errnoRet", default))
    raise CannotConfineError(f"The profile has an action this does not know: {rule['action']}.")


def load_filter(profile: dict[str, Any]) -> list[str]:
    """Put this process under the profile for good; returns names this machine's libseccomp does not know (they stay refused)."""
    library = _library()
    default = int(profile.get("defaultErrnoRet", 1))
    if profile["defaultAction"] != "SCMP_ACT_ERRNO":
        raise CannotConfineError("The profile must refuse what it does not name.")
    context = library.seccomp_init(_ERRNO | default)
    unknown = []
    for rule in profile["syscalls"]:
        arguments = (_Argument * max(1, len(rule.get("args", []))))()
        for place, wanted in zip(arguments, rule.get("args", []), strict=False):
            place.index, place.operator = wanted["index"], _OPERATORS[wanted["op"]]
            place.value, place.second = wanted["value"], wanted.get("valueTwo", 0)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                unknown.append(name)
                continue
            code = library.seccomp_rule_add_array(
                context, _action(rule, default), number, len(rule.get("args", [])), arguments
            )
            if code:
                raise CannotConfineError(f"libseccomp takes no rule for {name}: {os.strerror(-code)}.")
    code = library.seccomp_load(context)
    library.seccomp_release(context)
    if code:
        raise CannotConfineError(f"The kernel takes no filter: {os.strerror(-code)}.")
    return unknown


def _set_readonly(path: str, *, readonly: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = (ctypes.c_uint64 * 4)(_RDONLY if readonly else 0, 0 if readonly else _RDONLY, 0, 0)
    flags = _AT_RECURSIVE if readonly else 0
    if libc.syscall(_MOUNT_SETATTR, -100, path.encode(), flags, ctypes.byref(attributes), 32):
        raise CannotConfineError(f"{path} cannot be made read-only: {os.strerror(ctypes.get_errno())}.")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode() or None):
        raise CannotConfineError(f"{target} cannot be mounted: {os.strerror(ctypes.get_errno())}.")


def _closed_above(path: Path) -> Path | None:
    """The highest folder above a path that others may not pass through."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def open_ways(needed: list[Path]) -> None:
    """Lay an open, empty folder over each closed one, with only what is needed in it; the folder itself is not changed."""
    closed: dict[Path, dict[Path, int]] = {}
    for path in {path.resolve() for path in needed}:
        above = _closed_above(path)
        if above is not None:
            closed.setdefault(above, {})[path] = os.open(path, os.O_PATH)
    for above, inside in closed.items():
        _mount("tmpfs", str(above), "tmpfs", 0, "mode=755,size=1m")
        for path, handle in sorted(inside.items()):
            if not path.exists():
                path.mkdir(parents=True)
                _mount(f"/proc/self/fd/{handle}", str(path), "none", _MS_BIND | _MS_REC)


def _apart_demand() -> None:
    """Refuse to mount where who started this would see it: laid over the machine's own folders it would stay there."""
    own, parent = (os.readlink(f"/proc/{pid}/ns/mnt") for pid in ("self", os.getppid()))
    if own == parent:
        raise CannotConfineError("This is no mount namespace of its own: start it through unshare --mount.")


def readonly_but(folder: Path, needed: list[Path]) -> None:
    """Make everything read-only but ``folder``, for this process and its children, in a mount namespace of their own."""
    _apart_demand()
    _mount("none", "/", "none", _MS_REC | _MS_PRIVATE)
    open_ways(needed)
    _mount(str(folder), str(folder), "none", _MS_BIND)
    _set_readonly("/", readonly=True)
    _set_readonly(str(folder), readonly=False)


def main() -> None:
    """Confine and become the command."""
    words = sys.argv[1:]
    split = words.index("--")
    options, command = words[:split], words[split + 1 :]
    try:
        if options[:1] == ["--data"]:
            # Mounts first, as root of the namespace; the rest of the way is taken as the user, by coming here again.
            readonly_but(Path(options[1]), [Path(word) for word in options[2:]])
            os.execvp(command[0], command)  # noqa: S606 - what it was asked to become
        unknown = load_filter(json.loads(PROFILE.read_text()))
        if unknown:
            print(f"unknown to this libseccomp, so refused: {', '.join(unknown)}", file=sys.stderr)
        os.execvp(command[0], command)  # noqa: S606 - what it was asked to become
    except (CannotConfineError, OSError) as error:
        print(str(error), file=sys.stderr)
        raise SystemExit(CANNOT) from None


if __name__ == "__main__":
    main()
