"""What a file system may show after the power went: every order of names, every state of data that was not synced.

Owns      `Recorder` (a watcher that notes all calls on one folder) and `Past`, from which the legal remains of any
          moment are made; `lay_out`, which makes them a real folder again.
Not here  what must hold in them (judging.py), which moments are looked at (test_power.py).

The model, about as strict as POSIX allows; docs/durability.md says where real file systems are kinder:

* Content is safe up to the last fsync of its file. What was written since may be missing, there, cut, all zeros, or
  only its last part may be there.
* A name (created, renamed, removed) is safe once its folder was synced. Until then each such change may have happened
  or not, whatever happened to later ones, except that changes of the same name keep their order. Syncing a file does
  not make its name safe, nor does syncing a folder make the folder's own name safe.
* A link is a name of a file like its first one: created, and safe once its own folder was synced.
* A rename is one step. One between two folders may leave the file under both names until both are synced.
"""

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final

from tests.durability.points import Call, Watcher

EVERY_SUBSET_UP_TO: Final = 6
"""Pending changes of names up to which all legal subsets are tried; beyond: prefixes, single gaps and samples."""
SAMPLES: Final = 24

Image = dict[str, tuple[bytes, float] | None]
"""What lies in a folder: content and time of writing by relative path; None for a folder."""


class Fate(Enum):
    """What became of content that was not synced."""

    LOST = auto()
    KEPT = auto()
    CUT = auto()
    ZEROED = auto()
    LAST_ONLY = auto()


@dataclass(eq=False, slots=True)
class Node:
    """A file or a folder, whatever its name; `entries` is what running programs see, `content` what was there first."""

    folder: bool
    content: bytes = b""
    entries: "dict[str, Node]" = field(default_factory=dict)
    written_at: float = 0.0


Place = tuple[Node, str]
"""A name in a folder."""


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """`node` loses the name `at` and gets the name `to`, where there are such."""

    node: Node
    at: Place | None
    to: Place | None

    @property
    def places(self) -> list[Place]:
        """The names it touches."""
        return [place for place in (self.at, self.to) if place is not None]

    @property
    def across(self) -> bool:
        """True for a file's rename from one folder to another; a folder has one name only."""
        return not self.node.folder and self.at is not None and self.to is not None and self.at[0] is not self.to[0]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened outside the disk: "confirmed 2"."""

    words: str


@dataclass(frozen=True, eq=False, slots=True)
class Written:
    """Octets that went into a file."""

    node: Node
    offset: int
    octets: bytes


@dataclass(frozen=True, eq=False, slots=True)
class Synced:
    """The fsync of a file or a folder."""

    node: Node


Step = Change | Mark | Written | Synced


class Recorder(Watcher):
    """Notes every call below `root`, which is safe with all that is in it when the recording begins.

    Calls at the points in `forgets` are made and not noted, as if the program had left them out.
    """

    def __init__(self, root: Path, forgets: frozenset[str] = frozenset()) -> None:
        self.root = root
        self.steps: list[Step] = []
        self.points: list[str] = []
        self._top = _read(root)
        self._start = {folder: dict(folder.entries) for folder in _folders(self._top)}
        self._forgets = forgets
        self._lock = threading.Lock()

    def mark(self, words: str) -> None:
        """Note something that is no call of the disk."""
        with self._lock:
            self._add(Mark(words), words)

    def after(self, call: Call) -> None:
        if call.point not in self._forgets and call.path.is_relative_to(self.root):
            with self._lock:
                self._take(call)

    def past(self) -> "Past":
        """All that was noted."""
        return Past(self._top, self._start, tuple(self.steps), tuple(self.points))

    def _add(self, step: Step, point: str) -> None:
        self.steps.append(step)
        self.points.append(point)

    def _take(self, call: Call) -> None:
        match call.operation:
            case "mkdir" | "open_new" | "create":
                assert self._find(call.path) is None, f"{call.path}: the model knows no file that is written over"
                folder, name = self._place(call.path)
                node = folder.entries[name] = Node(call.operation == "mkdir", written_at=time.time())
                self._add(Change(node, None, (folder, name)), call.point)
            case "write":
                node = self._node(call.path)
                node.written_at = time.time()
                self._add(Written(node, call.offset, call.octets), call.point)
            case "fsync" | "fsync_dir":
                self._add(Synced(self._node(call.path)), call.point)
            case "link":
                assert call.target is not None
                node, to = self._node(call.path), self._place(call.target)
                to[0].entries[to[1]] = node
                self._add(Change(node, None, to), call.point)
            case "rename" | "unlink" | "rmdir":
                self._change(call)

    def _change(self, call: Call) -> None:
        at, to = self._place(call.path), self._place(call.target) if call.target is not None else None
        node = at[0].entries.pop(at[1])
        if to is not None:
            to[0].entries[to[1]] = node
        self._add(Change(node, at, to), call.point)

    def _place(self, path: Path) -> Place:
        return self._node(path.parent), path.name

    def _node(self, path: Path) -> Node:
        node = self._find(path)
        assert node is not None, path
        return node

    def _find(self, path: Path) -> Node | None:
        node: Node | None = self._top
        for part in path.relative_to(self.root).parts:
            node = node.entries.get(part) if node is not None else None
        return node


def _read(path: Path) -> Node:
    if path.is_dir():
        return Node(folder=True, entries={entry.name: _read(entry) for entry in path.iterdir()})
    return Node(folder=False, content=path.read_bytes(), written_at=path.stat().st_mtime)


def _folders(node: Node) -> Iterator[Node]:
    if node.folder:
        yield node
        for entry in node.entries.values():
            yield from _folders(entry)


Tree = dict[Node, dict[str, Node]]


@dataclass
class _Moment:
    """What is safe at one moment, and what is not."""

    safe: Tree
    pending: list[Change] = field(default_factory=list)
    lingering: list[Change] = field(default_factory=list)  # safe renames whose old name may still be there
    synced: dict[Node, bytes] = field(default_factory=dict)
    since: dict[Node, list[Written]] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        match step:
            case Change(node=node):
                if node.folder:
                    self.safe.setdefault(node, {})
                self.pending.append(step)
                old = set(step.places)
                self.lingering = [change for change in self.lingering if change.at not in old]
            case Written(node=node):
                self.since.setdefault(node, []).append(step)
            case Synced(node=node) if node.folder:
                self._sync_folder(node)
            case Synced(node=node):
                self.synced[node] = self.content(node, Fate.KEPT)
                self.since.pop(node, None)
            case Mark():
                pass

    def _sync_folder(self, folder: Node) -> None:
        self.lingering = [change for change in self.lingering if change.at is not None and change.at[0] is not folder]
        wanted = {at for at, change in enumerate(self.pending) if any(place[0] is folder for place in change.places)}
        safe = closed(self.pending, wanted)
        for at in sorted(safe):
            change = self.pending[at]
            apply(self.safe, change)
            if change.across and change.at is not None and change.at[0] is not folder:
                self.lingering.append(change)
        self.pending = [change for at, change in enumerate(self.pending) if at not in safe]

    def content(self, node: Node, fate: Fate) -> bytes:
        """The file's content when its unsynced part has met this fate."""
        octets = bytearray(self.synced.get(node, node.content))
        writes = self.since.get(node, [])
        left = sum(len(write.octets) for write in writes)
        left = left // 2 if fate is Fate.CUT else left
        for write in writes[-1:] if fate is Fate.LAST_ONLY else [] if fate is Fate.LOST else writes:
            part = write.octets[:left]
            left -= len(part)
            octets.extend(bytes(max(0, write.offset + len(part) - len(octets))))
            octets[write.offset : write.offset + len(part)] = bytes(len(part)) if fate is Fate.ZEROED else part
        return bytes(octets)


def apply(tree: Tree, change: Change) -> None:
    """Make one change of names."""
    if change.at is not None:
        tree[change.at[0]].pop(change.at[1], None)
    if change.to is not None:
        tree.setdefault(change.to[0], {})[change.to[1]] = change.node


def closed(changes: Sequence[Change], chosen: set[int]) -> set[int]:
    """`chosen` and all earlier changes of the same names that these cannot have happened without."""
    found = set(chosen)
    names: set[Place] = set()
    for at in range(len(changes) - 1, -1, -1):
        if at in found or names & set(changes[at].places):
            found.add(at)
            names |= set(changes[at].places)
    return found


def subsets(changes: Sequence[Change], dice: random.Random) -> Iterator[list[Change]]:
    """Which of the pending changes may have happened: all legal subsets of a few; of many, telling ones and samples."""
    count = len(changes)
    wishes: list[set[int]]
    if count <= EVERY_SUBSET_UP_TO:
        wishes = [set(chosen) for size in range(count + 1) for chosen in itertools.combinations(range(count), size)]
    else:
        wishes = [set(range(size)) for size in range(count + 1)]
        wishes += [{at for at in range(count) if at != gap} for gap in range(count)]
        wishes += [{at for at in range(count) if dice.random() < 0.5} for _ in range(SAMPLES)]
    for chosen in sorted({tuple(sorted(closed(changes, wish))) for wish in wishes}):
        yield [changes[at] for at in chosen]


@dataclass(frozen=True)
class Past:
    """A recording: `points[i]` names `steps[i]`; moment n is when the first n steps had been made."""

    top: Node
    start: Tree
    steps: tuple[Step, ...]
    points: tuple[str, ...]

    def marks(self, moment: int) -> list[str]:
        """What had happened outside the disk by then."""
        return [step.words for step in self.steps[:moment] if isinstance(step, Mark)]

    def remains(self, moment: int, dice: random.Random) -> Iterator[Image]:
        """The legal states of the folder if the power goes at that moment; the dice choose where there are too many."""
        then = _Moment({folder: dict(entries) for folder, entries in self.start.items()})
        for step in self.steps[:moment]:
            then.take(step)
        for happened in subsets(then.pending, dice):
            doubles = [*then.lingering, *(change for change in happened if change.across)]
            for double in (None, *doubles):
                tree = {folder: dict(entries) for folder, entries in then.safe.items()}
                for change in happened:
                    apply(tree, change)
                if double is not None and double.at is not None:
                    tree[double.at[0]].setdefault(double.at[1], double.node)
                yield from self._fates(then, tree)

    def _fates(self, then: _Moment, tree: Tree) -> Iterator[Image]:
        shown = set(_files(self.top, tree))
        for fate in Fate if shown & then.since.keys() else (Fate.KEPT,):
            yield dict(_image(self.top, tree, then, fate, ""))


def _files(folder: Node, tree: Tree) -> Iterator[Node]:
    for node in tree[folder].values():
        if node.folder:
            yield from _files(node, tree)
        else:
            yield node


def _image(
    folder: Node, tree: Tree, then: _Moment, fate: Fate, below: str
) -> Iterator[tuple[str, tuple[bytes, float] | None]]:
    for name, node in tree[folder].items():
        if node.folder:
            yield f"{below}{name}", None
            yield from _image(node, tree, then, fate, f"{below}{name}/")
        else:
            yield f"{below}{name}", (then.content(node, fate), node.written_at)


def lay_out(image: Image, folder: Path) -> None:
    """Make `folder`, which is empty, look like this."""
    for name in sorted(image):
        found = image[name]
        if found is None:
            (folder / name).mkdir()
            continue
        (folder / name).write_bytes(found[0])
        os.utime(folder / name, (found[1], found[1]))


def key_of(image: Image) -> frozenset[tuple[str, bytes | None]]:
    """What makes two images the same: all but the times."""
    return frozenset((name, None if found is None else found[0]) for name, found in image.items())
