"""A disk that loses power: the file layer of the journal, in memory, with a seeded fate for everything that was not synced.

Owns: ``SimDisk`` (counts every write, sync and name change; loses power before a chosen one) and what survives. Leaves to others: the
code under test, which is the real one.

At power loss each unsynced write is taken apart into 512-byte sectors; every sector is, independently, kept, dropped or torn inside.
Later writes may survive while earlier ones are lost. Names: creations, renames and removals that were not made durable by a sync of the
folder survive as a prefix of their order, as a journaling file system does it.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


class PowerLoss(Exception):
    """The machine is off."""


@dataclass
class Inode:
    """A file's durable bytes, what a reader sees now, and the writes in between."""

    durable: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)


class SimDisk:
    """Implements brokerage.kernel.files.FileLayer."""

    def __init__(self, seed: int, *, fsync_lies: bool = False) -> None:
        self.random = random.Random(seed)
        self.fsync_lies = fsync_lies
        self.ops = 0
        self.crash_at = 0
        """Lose power before this operation (counted from 1); 0 = never."""
        self.fail_at = 0
        self.fail_errno = errno.EIO
        self.sites: dict[str, int] = {}
        self._names: dict[Path, Inode] = {}
        self._durable_names: dict[Path, Inode] = {}
        self._name_ops: list[tuple[str, Path, Path | None]] = []
        self._open: dict[int, Inode] = {}
        self._fd = 100
        self.free = 1 << 40

    def _op(self, site: str) -> None:
        self.ops += 1
        if self.ops == self.crash_at:
            self.sites[site] = self.sites.get(site, 0) + 1
            raise PowerLoss(site)
        if self.ops == self.fail_at:
            raise OSError(self.fail_errno, "planned failure")

    # -- FileLayer ----------------------------------------------------------------------------------------------------

    def open(self, path: Path, *, create: bool = False) -> int:
        if create:
            self._op("create")
            if path in self._names:
                raise FileExistsError(errno.EEXIST, str(path))
            self._names[path] = Inode()
            self._name_ops.append(("create", path, None))
        elif path not in self._names:
            raise FileNotFoundError(errno.ENOENT, str(path))
        self._fd += 1
        self._open[self._fd] = self._names[path]
        return self._fd

    def close(self, fd: int) -> None:
        del self._open[fd]

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self._op("pwrite")
        inode = self._open[fd]
        end = offset + len(data)
        if len(inode.content) < end:
            inode.content.extend(bytes(end - len(inode.content)))
        inode.content[offset:end] = data
        inode.pending.append((offset, bytes(data)))
        return len(data)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self._open[fd].content[offset : offset + size])

    def size(self, fd: int) -> int:
        return len(self._open[fd].content)

    def fdatasync(self, fd: int) -> None:
        self._op("fdatasync")
        self._sync(self._open[fd])

    def fsync(self, fd: int) -> None:
        self._op("fsync")
        self._sync(self._open[fd])

    def _sync(self, inode: Inode) -> None:
        if not self.fsync_lies:
            inode.durable[:] = inode.content
            inode.pending.clear()

    def rename(self, source: Path, target: Path) -> None:
        self._op("rename")
        self._names[target] = self._names.pop(source)
        self._name_ops.append(("rename", source, target))

    def remove(self, path: Path) -> None:
        self._op("remove")
        del self._names[path]
        self._name_ops.append(("remove", path, None))

    def fsync_dir(self, path: Path) -> None:
        self._op("fsync_dir")
        if not self.fsync_lies:
            self._durable_names = dict(self._names)
            self._name_ops.clear()

    def listdir(self, path: Path) -> list[str]:
        return sorted(name.name for name in self._names if name.parent == path)

    def make_dir(self, path: Path) -> None:
        pass

    def free_bytes(self, path: Path) -> int:
        return self.free

    # -- power --------------------------------------------------------------------------------------------------------

    def lose_power(self) -> None:
        """Become what the disk holds when the machine comes back."""
        names = dict(self._durable_names)
        created: dict[Path, Inode] = {}
        # Replay a prefix of the name changes over the durable names, with the inodes they were about.
        born = self._births()
        for kind, path, target in self._name_ops[: self.random.randint(0, len(self._name_ops))]:
            if kind == "create":
                created[path] = names[path] = born[path].pop(0)
            elif kind == "rename" and path in names and target is not None:
                names[target] = names.pop(path)
            elif kind == "remove":
                names.pop(path, None)
        for inode in {id(inode): inode for inode in names.values()}.values():
            self._settle(inode)
        self._names = names
        self._durable_names = dict(names)
        self._name_ops.clear()
        self._open.clear()
        self.crash_at = self.fail_at = 0

    def _births(self) -> dict[Path, list[Inode]]:
        """Which inode each unsynced creation made, in order, found by walking the name changes forward."""
        born: dict[Path, list[Inode]] = {}
        # Walk backwards from the present names to learn what each creation became.
        where = dict(self._names)
        for kind, path, target in reversed(self._name_ops):
            if kind == "rename" and target is not None:
                inode = where.pop(target, None)
                where[path] = inode if inode is not None else Inode()
            elif kind == "remove":
                where[path] = Inode()
            else:
                born.setdefault(path, []).insert(0, where.pop(path, Inode()))
        return born

    def _settle(self, inode: Inode) -> None:
        """Each sector of each unsynced write is kept, dropped or torn."""
        disk = inode.durable
        for offset, data in inode.pending:
            fate = self.random.random()
            for begin in range(0, len(data), SECTOR):
                part = data[begin : begin + SECTOR]
                draw = self.random.random()
                if fate < 0.3 or draw < 0.5:
                    kept = part
                elif draw < 0.6:
                    kept = part[: self.random.randint(0, len(part))]
                else:
                    continue
                place = offset + begin
                if len(disk) < place + len(kept):
                    disk.extend(bytes(place + len(kept) - len(disk)))
                disk[place : place + len(kept)] = kept
        inode.content = bytearray(disk)
        inode.pending.clear()
