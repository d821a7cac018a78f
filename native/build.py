"""Builds the C core: `python -m native.build`.

What for: turns native/src + native/include/core.h into native/_core.<platform>.so through cffi in API mode.
Owns: the compiler flags, the build id (a hash of sources, flags and platform that is compiled in), the check whether a
build is stale, and the lock that keeps two processes from building at once.
Leaves to others: loading the result (native/core.py) and deciding whether building on first use is allowed (it is not in
production).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
HEADER = NATIVE / "include" / "core.h"
SOURCES = NATIVE / "src"
MODULE = "_core"
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


class BuildError(Exception):
    """The core cannot be built; the text says what is missing."""


def source_files() -> list[Path]:
    return [HEADER, *sorted(SOURCES.glob("*.h")), *sorted(SOURCES.glob("*.c"))]


def build_id() -> str:
    """16 hex digits over every source and flag, the Python ABI and this platform: the same id means the same build inputs."""
    digest = hashlib.sha256()
    for path in source_files():
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


def library_path() -> Path:
    return NATIVE / (MODULE + sysconfig.get_config_var("EXT_SUFFIX"))


def stamp_path() -> Path:
    return NATIVE / (MODULE + ".build-id")


def is_current() -> bool:
    try:
        return library_path().exists() and stamp_path().read_text().strip() == build_id()
    except OSError:
        return False


def header_cdef() -> str:
    """The part of core.h that cffi can parse."""
    text = HEADER.read_text()
    return text.split("/* CDEF-BEGIN */", 1)[1].split("/* CDEF-END */", 1)[0]


def _compile(identity: str) -> None:
    try:
        import cffi
    except ImportError as error:  # pragma: no cover - requirements.txt has it
        raise BuildError("cffi is not installed; run `make setup`") from error
    compiler = _compiler()
    if shutil.which(compiler) is None:
        raise BuildError(f"C compiler {compiler!r} not found; install gcc or clang and run `python -m native.build`")
    maker = cffi.FFI()
    maker.cdef(header_cdef())
    maker.set_source(
        f"native.{MODULE}",
        '#include "core.h"\n#include "unity.c"\n',
        include_dirs=[str(NATIVE / "include"), str(SOURCES)],
        define_macros=[("CORE_BUILD_ID", f'"{identity}"'), ("NDEBUG", None)],
        extra_compile_args=[*CFLAGS, *WRAPPER_CFLAGS],
    )
    with tempfile.TemporaryDirectory(prefix="core-build-") as folder:
        try:
            built = maker.compile(tmpdir=folder)
        except Exception as error:  # cffi raises its own VerificationError, distutils its own family
            raise BuildError(f"the C core did not compile: {error}") from error
        # Rename is atomic, so a process that loads the library sees the old or the new one, never half of it.
        fresh = library_path().with_suffix(".new")
        shutil.copyfile(built, fresh)
        fresh.chmod(0o755)
        fresh.replace(library_path())
    stamp_path().write_text(identity + "\n")


def ensure_built(*, force: bool = False) -> Path:
    """Build if sources or flags changed since the last build; safe to call from several processes. Returns the library's path."""
    if force or not is_current():
        with open(NATIVE / ".build.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if force or not is_current():
                _compile(build_id())
    return library_path()


def main() -> int:
    try:
        path = ensure_built(force="--force" in sys.argv[1:])
    except BuildError as error:
        print(f"native.build: {error}", file=sys.stderr)
        return 1
    print(f"{path.name} {build_id()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
