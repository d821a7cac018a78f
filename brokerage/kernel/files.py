"""Files as the durable logs see them: few calls, each of which may fail, and a protocol so that a test can lose power in between.

Owns: the ``FileLayer`` protocol, the real one (``OsFiles``), and the two small recipes every durable file needs: write in
full or fail, and replace a file so that after a crash either the old or the new one is there. Leaves to others: what is
written (``segment_log.py``, snapshots of the engine).
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Protocol

from brokerage.kernel.errors import BrokerageError

_ZEROS = bytes(1 << 20)


class StorageError(BrokerageError):
    """A write, sync or rename failed. The state of the file is unknown: stop, and recover from what is on the disk.

    A failed sync is never repeated on the same file: the kernel may have dropped the pages and say yes the second time.
    """

    def __init__(self, what: str, error: OSError | None = None) -> None:
        super().__init__(f"{what}: {error.strerror or error}" if error else what)
        self.errno = error.errno if error else 0

    @property
    def no_space(self) -> bool:
        """The disk (or the quota) is full."""
        return self.errno in (errno.ENOSPC, errno.EDQUOT)


class FileLayer(Protocol):
    """What a durable log asks of the file system. All raise OSError."""

    def open(self, path: Path, *, create: bool = False) -> int: ...
    def close(self, fd: int) -> None: ...
    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int: ...
    def pread(self, fd: int, size: int, offset: int) -> bytes: ...
    def size(self, fd: int) -> int: ...
    def fdatasync(self, fd: int) -> None: ...
    def fsync(self, fd: int) -> None: ...
    def rename(self, source: Path, target: Path) -> None: ...
    def remove(self, path: Path) -> None: ...
    def fsync_dir(self, path: Path) -> None: ...
    def listdir(self, path: Path) -> list[str]: ...
    def make_dir(self, path: Path) -> None: ...
    def free_bytes(self, path: Path) -> int: ...


class OsFiles:
    """The operating system."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """Open for reading and writing; ``create`` demands that the file is new."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)

    def close(self, fd: int) -> None:
        """Close."""
        os.close(fd)

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write at an offset; may write less."""
        return os.pwrite(fd, data, offset)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes, all that there are."""
        data = os.pread(fd, size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        got = len(data)
        while got < size and (more := os.pread(fd, size - got, offset + got)):
            parts.append(more)
            got += len(more)
        return b"".join(parts)

    def size(self, fd: int) -> int:
        """Length in bytes."""
        return os.fstat(fd).st_size

    def fdatasync(self, fd: int) -> None:
        """Make the content durable."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Make content and length durable."""
        os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target``."""
        os.rename(source, target)

    def remove(self, path: Path) -> None:
        """Delete."""
        os.unlink(path)

    def fsync_dir(self, path: Path) -> None:
        """Make the names in a folder durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def listdir(self, path: Path) -> list[str]:
        """Names in a folder, sorted."""
        return sorted(os.listdir(path))

    def make_dir(self, path: Path) -> None:
        """Make a folder (parents too) only this user can enter."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def free_bytes(self, path: Path) -> int:
        """Bytes an ordinary process can still write."""
        stats = os.statvfs(path)
        return stats.f_bavail * stats.f_frsize


OS_FILES = OsFiles()


def write_full(files: FileLayer, fd: int, data: bytes | bytearray | memoryview, offset: int, what: str) -> None:
    """Write everything or raise StorageError; a short write is an error, not something to go on from."""
    try:
        written = files.pwrite(fd, data, offset)
    except OSError as error:
        raise StorageError(f"cannot write {what}", error) from error
    if written != len(data):
        raise StorageError(f"cannot write {what}: only {written} of {len(data)} bytes were taken")


def sync_data(files: FileLayer, fd: int, what: str) -> None:
    """fdatasync or StorageError."""
    try:
        files.fdatasync(fd)
    except OSError as error:
        raise StorageError(f"cannot sync {what}", error) from error


def create_zeroed(files: FileLayer, path: Path, size: int) -> int:
    """Make a file of zeros, durable in content and length (its name is not yet), and return it open."""
    fd = -1
    try:
        fd = files.open(path, create=True)
        done = 0
        while done < size:
            part = _ZEROS if size - done >= len(_ZEROS) else _ZEROS[: size - done]
            written = files.pwrite(fd, part, done)
            if written <= 0:
                raise OSError(errno.ENOSPC, "no room")
            done += written
        files.fsync(fd)
    except OSError as error:
        if fd >= 0:
            files.close(fd)
            with contextlib.suppress(OSError):
                files.remove(path)
        raise StorageError(f"cannot make {path.name} ({size} bytes)", error) from error
    return fd


def replace_file(files: FileLayer, path: Path, data: bytes) -> None:
    """Write a whole file so that after a crash either the old or the new content is there under the name."""
    temp = path.with_name(path.name + ".tmp")
    try:
        if temp.name in files.listdir(path.parent):
            files.remove(temp)
        fd = files.open(temp, create=True)
        try:
            write_full(files, fd, data, 0, path.name)
            files.fsync(fd)
        finally:
            files.close(fd)
        files.rename(temp, path)
        files.fsync_dir(path.parent)
    except OSError as error:
        raise StorageError(f"cannot replace {path.name}", error) from error
