"""Builds what is in C: `python -m native.build`.

What for: turns native/src + native/include/core.h into native/_core.<platform>.so through cffi in API mode, and native/audit
into native/_audit.<platform>.so, so that a change of one leaves the build id of the other alone.
Owns: the compiler flags, the build id (a hash of sources, flags and platform that is compiled in), the check whether a
build is stale, and the lock that keeps two processes from building at once.
Leaves to others: loading the result (native/core.py, native/audit_walk.py) and deciding whether building on first use is allowed (it is not in
production).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NATIVE = Path(__file__).resolve().parent
HEADER = NATIVE / "include" / "core.h"
SOURCES = NATIVE / "src"
CFLAGS = (
    "-std=gnu11",
    "-O3",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-fno-semantic-interposition",
    # Pairs of 8-byte stores that are read back as one of 16 cannot be forwarded and wait: measured, docs/performance.md.
    "-fno-tree-slp-vectorize",
)
# The generated wrapper is not ours to keep warning-free on every compiler.
WRAPPER_CFLAGS = (
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-Wno-unused-function",
    "-Wno-cast-function-type",
)


@dataclass(frozen=True)
class Library:
    """One extension module: its name, its header (what cffi reads of it lies between two marks), its sources, what is compiled."""

    module: str
    header: Path
    sources: Path
    units: tuple[str, ...]


CORE = Library("_core", HEADER, SOURCES, ("unity.c",))
AUDIT = Library("_audit", NATIVE / "audit" / "audit.h", NATIVE / "audit", ("sha256.c", "walk.c"))


class BuildError(Exception):
    """The C sources cannot be built; the text says what is missing."""


class NotBuiltError(Exception):
    """A library is missing or stale and may not be built here."""


def source_files(library: Library = CORE) -> list[Path]:
    headers = [path for path in sorted(library.sources.glob("*.h")) if path != library.header]
    return [library.header, *headers, *sorted(library.sources.glob("*.c"))]


def build_id(library: Library = CORE) -> str:
    """16 hex digits over every source and flag, the Python ABI and this platform: the same id means the same build inputs."""
    digest = hashlib.sha256()
    for path in source_files(library):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(
        repr(
            (CFLAGS, WRAPPER_CFLAGS, _compiler(), sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_platform())
        ).encode()
    )
    return digest.hexdigest()[:16]


def _compiler() -> str:
    # setuptools reads CC itself; read here only to name the compiler when it is missing, and to rebuild when it changes.
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]


def library_path(library: Library = CORE) -> Path:
    return NATIVE / (library.module + sysconfig.get_config_var("EXT_SUFFIX"))


def stamp_path(library: Library = CORE) -> Path:
    return NATIVE / (library.module + ".build-id")


def is_current(library: Library = CORE) -> bool:
    try:
        return library_path(library).exists() and stamp_path(library).read_text().strip() == build_id(library)
    except OSError:
        return False


def header_cdef(library: Library = CORE) -> str:
    """The part of the header that cffi can parse."""
    text = library.header.read_text()
    return text.split("/* CDEF-BEGIN */", 1)[1].split("/* CDEF-END */", 1)[0]


def _compile(library: Library, identity: str) -> None:
    try:
        import cffi
    except ImportError as error:  # pragma: no cover - requirements.txt has it
        raise BuildError("cffi is not installed; run `make setup`") from error
    compiler = _compiler()
    if shutil.which(compiler) is None:
        raise BuildError(f"C compiler {compiler!r} not found; install gcc or clang and run `python -m native.build`")
    maker = cffi.FFI()
    maker.cdef(header_cdef(library))
    maker.set_source(
        f"native.{library.module}",
        "".join(f'#include "{name}"\n' for name in (library.header.name, *library.units)),
        include_dirs=[str(library.header.parent), str(library.sources)],
        define_macros=[("CORE_BUILD_ID", f'"{identity}"'), ("NDEBUG", None)],
        extra_compile_args=[*CFLAGS, *WRAPPER_CFLAGS],
    )
    with tempfile.TemporaryDirectory(prefix="core-build-") as folder:
        try:
            built = maker.compile(tmpdir=folder)
        except Exception as error:  # cffi raises its own VerificationError, distutils its own family
            raise BuildError(f"{library.sources.name} did not compile: {error}") from error
        # Rename is atomic, so a process that loads the library sees the old or the new one, never half of it.
        fresh = library_path(library).with_suffix(".new")
        shutil.copyfile(built, fresh)
        fresh.chmod(0o755)
        fresh.replace(library_path(library))
    stamp_path(library).write_text(identity + "\n")


def ensure_built(library: Library = CORE, *, force: bool = False) -> Path:
    """Build if sources or flags changed since the last build; safe to call from several processes. Returns the library's path."""
    if force or not is_current(library):
        with open(NATIVE / ".build.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if force or not is_current(library):
                _compile(library, build_id(library))
    return library_path(library)


def load(library: Library) -> tuple[Any, Any]:
    """cffi's (ffi, lib), built before where that is allowed; NotBuiltError in production when it is missing or stale."""
    # The one exception to "environment only in brokerage/config.py": native/ must not import upwards, and only needs this word.
    if os.environ.get("BROKERAGE_ENV", "local") == "production":
        if not is_current(library):
            raise NotBuiltError(f"{library.module} is missing or older than its sources; run `python -m native.build`")
    else:
        ensure_built(library)
    module = importlib.import_module(f"native.{library.module}")
    return module.ffi, module.lib


def main() -> int:
    for library in (CORE, AUDIT):
        try:
            path = ensure_built(library, force="--force" in sys.argv[1:])
        except BuildError as error:
            print(f"native.build: {error}", file=sys.stderr)
            return 1
        print(f"{path.name} {build_id(library)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
