"""Seeded damage to files: of any bytes, and of what text, JSON, `.npy` and `.npz` mean."""

import io
import json
import os
import pathlib
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable

import numpy as np
from numpy.lib import format as npy

NUMBERS = ["nan", "inf", "-1", "-7.5", "1e308", "9" * 25, "", "x", "0x10", "1_0", "\u0661", "0"]
NAMES = ["../../escaped", "{absolute}/escaped", "a/b", "\x1b[2J", "[red", "", "." * 3, "n" * 300]
VALUES = [None, True, -1, 0.5, 1e308, 10**30, "text", [], {}, [[]], float("nan"), *NAMES]
HUGE = 1 << 50


def damage(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Damages a file in a way that is drawn for its kind.

    Args:
      path: the file, whose ending tells its kind.
      rng: draws the way, and all that it needs.

    Returns:
      What was done, as `kind: more`.
    """
    # Ways that fit the format are more likely than damage to any bytes
    kinds = list(ANY)
    if path.suffix in (".json", ".jsonl"):
        kinds += JSON * 2
    if path.suffix in (".txt", ".csv", ".m", ".jsonl", ".list", ".json"):
        kinds += TEXT
    if path.suffix == ".npy":
        kinds += NPY * 2
    if path.suffix == ".npz":
        kinds += NPZ * 2
    if path.suffix in (".pkl", ".pickle", ".pth"):
        kinds += PICKLE * 3
    if path.suffix == ".pth" and _members(path):
        kinds += ZIP * 2
    kind = kinds[rng.integers(len(kinds))]
    more = kind(path, rng)
    name = kind.__name__.strip("_").replace("_", " ")
    return f"{name}: {more}" if more else name


def _draw(rng: np.random.Generator, choices: list) -> object:
    """One of the choices."""
    return choices[rng.integers(len(choices))]


def one_bit(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Turns one bit."""
    content = bytearray(path.read_bytes())
    if not content:
        return "of nothing"
    place = int(rng.integers(len(content)))
    content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    return f"of byte {place}"


def bytes_replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Replaces up to 16 bytes in a row."""
    content = path.read_bytes()
    count, place = int(rng.integers(1, 17)), int(rng.integers(len(content) + 1))
    path.write_bytes(content[:place] + rng.bytes(count) + content[place + count :])
    return f"{count} at {place}"


def cut(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Cuts off the end."""
    size = path.stat().st_size
    keep = int(rng.integers(size)) if size else 0
    os.truncate(path, keep)
    return f"to {keep} of {size}"


def emptied(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Leaves no byte."""
    path.write_bytes(b"")
    return ""


def longer(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Adds bytes at the end."""
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.integers(1, 200))))
    return ""


def zeros(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Makes a part zero, as a file system may after a crash."""
    content = bytearray(path.read_bytes())
    start = int(rng.integers(len(content) + 1))
    content[start:] = bytes(len(content) - start)
    path.write_bytes(content)
    return f"from {start}"


def another_kind(path: pathlib.Path, rng: np.random.Generator) -> str:
    """The content of a file of another kind."""
    array = io.BytesIO()
    np.save(array, np.arange(4.0))
    contents = [
        b"\x89PNG\r\n\x1a\n" + rng.bytes(50),
        array.getvalue(),
        b"PK\x03\x04" + rng.bytes(60),
        b"\x80\x04\x95" + rng.bytes(40),
        b"{}",
        b"[[1]]",
        b"\xff\xfe1\x00,\x002\x00",
    ]
    path.write_bytes(_draw(rng, contents))
    return ""


def no_file(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Something that is no regular file."""
    path.unlink()
    kind = _draw(rng, ["folder", "FIFO", "/dev/zero", "broken link", "link to itself"])
    if kind == "folder":
        path.mkdir()
    elif kind == "FIFO":
        os.mkfifo(path)
    else:
        targets = {"/dev/zero": "/dev/zero", "broken link": "nowhere", "link to itself": path.name}
        path.symlink_to(targets[kind])
    return kind


ANY = [one_bit, one_bit, bytes_replaced, cut, cut, emptied, longer, zeros, another_kind, no_file]


def _text(path: pathlib.Path) -> str:
    return path.read_text("utf-8", "surrogateescape")


def _write(path: pathlib.Path, text: str) -> None:
    path.write_text(text, "utf-8", "surrogateescape")


def number_replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Replaces a number by another, or by what is none."""
    text = _text(path)
    matches = list(re.finditer(r"-?\d+(?:\.\d+)?", text))
    if not matches:
        return "none there"
    match, new = _draw(rng, matches), _draw(rng, NUMBERS)
    _write(path, text[: match.start()] + new + text[match.end() :])
    return f"{match[0]} by {new[:12]!r}"


def word_replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Replaces a word by a name that leads elsewhere."""
    text = _text(path)
    matches = list(re.finditer(r"[A-Za-z_][\w.]*", text))
    if not matches:
        return "none there"
    match, new = _draw(rng, matches), _absolute(_draw(rng, NAMES), path)
    _write(path, text[: match.start()] + new + text[match.end() :])
    return f"{match[0][:20]} by {new[:12]!r}"


def line_changed(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Takes a line out, doubles it, or moves its fields."""
    lines = _text(path).splitlines(keepends=True) or [""]
    place = int(rng.integers(len(lines)))
    kind = _draw(rng, ["out", "twice", "fields turned", "a field more", "a field less"])
    fields = re.split(r"([,; \t]+)", lines[place].rstrip("\n"))
    changed = {
        "out": "",
        "twice": lines[place] * 2,
        "fields turned": "".join(fields[::-1]) + "\n",
        "a field more": lines[place].rstrip("\n") + ",7\n",
        "a field less": "".join(fields[:-2]) + "\n",
    }
    lines[place] = changed[kind]
    _write(path, "".join(lines))
    return f"{kind}, line {place + 1}"


def letters(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Another encoding, or letters that a text does not have."""
    text = _text(path)
    kind = _draw(rng, ["NUL", "UTF-16", "a byte that is not UTF-8", "a line of a million letters"])
    place = int(rng.integers(len(text) + 1))
    raw = text.encode("utf-8", "surrogateescape")
    changed = {
        "NUL": raw[:place] + b"\0" + raw[place:],
        "UTF-16": text.encode("utf-16", "surrogatepass"),
        "a byte that is not UTF-8": raw[:place] + b"\xe9" + raw[place:],
        "a line of a million letters": raw[:place] + b"7" * 1_000_000 + raw[place:],
    }
    path.write_bytes(changed[kind])
    return kind


TEXT = [number_replaced, number_replaced, word_replaced, line_changed, line_changed, letters]


def value_replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Replaces a value anywhere in JSON, or takes it out."""
    # Of JSON lines, one line is changed; any value of the tree is as likely as any other
    lines = _text(path).splitlines() if path.suffix == ".jsonl" else [_text(path)]
    place = int(rng.integers(len(lines))) if lines else 0
    try:
        root = {"": json.loads(lines[place])}
    except (ValueError, IndexError):
        return "no JSON there"
    at, key = _draw(rng, list(_nodes(root)))
    old = json.dumps(at[key])[:20]
    if rng.random() < 0.2 and at is not root:
        del at[key]
        new = "nothing"
    else:
        drawn = _draw(rng, VALUES)
        at[key] = _absolute(drawn, path) if isinstance(drawn, str) else drawn
        new = json.dumps(at[key])[:20]
    lines[place] = json.dumps(root.get(""), indent=None if len(lines) > 1 else 1)
    _write(path, "\n".join(lines) + "\n")
    return f"{key!s:.20} {old} by {new}"


def deep(path: pathlib.Path, rng: np.random.Generator) -> str:
    """JSON of a hundred thousand lists, one in the other."""
    _write(path, "[" * 100_000 + "]" * 100_000)
    return ""


def key_twice(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Renames a key to another name."""
    text = _text(path)
    matches = list(re.finditer(r'"(\w+)":', text))
    if not matches:
        return "none there"
    match = _draw(rng, matches)
    _write(path, text[: match.start(1)] + "other" + text[match.end(1) :])
    return match[1]


JSON = [value_replaced, value_replaced, value_replaced, deep, key_twice]


def _nodes(tree):
    """Containers and keys of all values in a tree of dicts and lists."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, part in list(pairs):
        yield tree, key
        if isinstance(part, dict | list):
            yield from _nodes(part)


def _absolute(name: str, path: pathlib.Path) -> str:
    """A name of `NAMES` that leads to a place beside the folder of the file."""
    return name.replace("{absolute}", str(path.parents[1]))


def array_replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Another array in a `.npy`: of another type, shape or with numbers that are none."""
    try:
        array = np.load(path)
    except (ValueError, EOFError, OSError):
        return "none there"
    changed, change = _changed(array, rng)
    path.write_bytes(_npy(changed))
    return change


def false_header(path: pathlib.Path, rng: np.random.Generator) -> str:
    """A header that promises terabytes, or that is none."""
    content, change = _header(path.read_bytes(), rng)
    path.write_bytes(content)
    return change


NPY = [array_replaced, array_replaced, false_header]


def member_replaced(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Another array of that name in a `.npz`."""
    members, name = _members(path), ""
    if not members:
        return "none there"
    name = _draw(rng, sorted(members))
    if rng.random() < 0.25:
        members[name], change = _header(members[name], rng)
    else:
        changed, change = _changed(np.load(io.BytesIO(members[name])), rng)
        members[name] = _npy(changed)
    _zip(path, members)
    return f"{name} {change}"


def member_renamed(path: pathlib.Path, rng: np.random.Generator) -> str:
    """An array of another name, or none."""
    members = _members(path)
    if not members:
        return "none there"
    name = _draw(rng, sorted(members))
    content = members.pop(name)
    new = _absolute(_draw(rng, ["", *NAMES, "alternative_<script>"]), path)
    if new:
        members[f"{new}.npy"] = content
    _zip(path, members)
    return f"{name} as {new[:20]!r}"


def strange_zip(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Members that are said to be encrypted, compressed in an unknown way, or are a bomb."""
    members = _members(path)
    kind = _draw(rng, ["encrypted", "unknown compression", "bomb", "twice"])
    if kind == "bomb":
        big = _npy(np.zeros(40_000_000))  # 320 MB, of which a third of a megabyte is left
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for name, content in members.items():
                file.writestr(name, big if name == min(members) else content)
        return kind
    # Flags and method stand in the header of each member, and again in the list at the end
    _zip(path, members, twice=kind == "twice")
    content = bytearray(path.read_bytes())
    for mark, flag, method in ((b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)):
        for match in re.finditer(re.escape(mark), bytes(content)):
            if kind == "encrypted":
                content[match.start() + flag] |= 1
            elif kind == "unknown compression":
                struct.pack_into("<H", content, match.start() + method, 97)
    path.write_bytes(content)
    return kind


NPZ = [member_replaced, member_replaced, member_replaced, member_renamed, strange_zip]


def strange_pickle(path: pathlib.Path, rng: np.random.Generator) -> str:
    """A pickle of something else in the place of the first one of a file."""
    name = _draw(rng, sorted(PICKLES))
    _change_pickle(path, lambda content: PICKLES[name])
    return name


def number_in_pickle(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Another whole number in a pickle: of a shape, a stride, a size, a version."""
    note = ["none there"]

    def change(content: bytes) -> bytes:
        try:
            numbers = [
                (op, value, at)
                for op, value, at in pickletools.genops(content)
                if op.name in ("BININT", "BININT1", "BININT2")
            ]
        except ValueError:
            return content
        if not numbers:
            return content
        (op, value, at), new = _draw(rng, numbers), _draw(rng, [-1, 0, 2, 1 << 31, HUGE, 1 << 62])
        # Opcode and number take so many bytes; the new ones may take more
        size = {"BININT": 5, "BININT1": 2, "BININT2": 3}[op.name]
        note[0] = f"{value} by {new}"
        number = pickle.dumps(new, 2)[2:-1]
        return content[:at] + number + content[at + size :]

    _change_pickle(path, change)
    return note[0]


def member_cut(path: pathlib.Path, rng: np.random.Generator) -> str:
    """Another length of a member of a zip, or other bytes in it, with the right checksum."""
    members = _members(path)
    name = _draw(rng, sorted(members))
    content = bytearray(members[name])
    kind = _draw(rng, ["cut", "longer", "other bytes", "gone"])
    if kind == "cut":
        del content[int(rng.integers(len(content) + 1)) :]
    elif kind == "longer":
        content += rng.bytes(40)
    elif content:
        at = int(rng.integers(len(content)))
        content[at : at + 4] = rng.bytes(len(content[at : at + 4]))
    members[name] = bytes(content)
    if kind == "gone":
        del members[name]
    _zip(path, members)
    return f"{kind}, {name}"


def _pickle(*opcodes: bytes) -> bytes:
    return b"\x80\x02" + b"".join(opcodes) + b"."


PICKLES = {  # what -> pickle
    "a call": pickle.dumps(
        type("Call", (), {"__reduce__": lambda self: (print, ("it ran",))})(), 2
    ),
    "doubled forty times": _pickle(b"]", *[b"q\x00]h\x00ah\x00a"] * 40),
    "a list in itself": _pickle(b"]q\x00h\x00a"),
    "a hundred thousand lists": _pickle(b"]" * 100_000, b"a" * 99_999),
    "exabytes": _pickle(b"\x8e" + struct.pack("<Q", 1 << 60)),
    "a bytearray of terabytes": _pickle(b"\x96" + struct.pack("<Q", HUGE)),
    "a long of gigabytes": _pickle(b"\x8b" + struct.pack("<i", (1 << 31) - 1)),
    "a memo of billions": _pickle(b"Nr\xff\xff\xff\xff"),
    "a key that is a list": _pickle(b"}]Ns"),
    "nothing on the stack": _pickle(b"0"),
    "what lies beside": _pickle(b"X\x01\x00\x00\x00aQ"),
    "numbers as names": pickle.dumps({1: {2: 3}, "net": [], "feature": 5}, 2),
    "other arrays": pickle.dumps({"feature": {"../../x": np.zeros((1, 2, 3, 4))}, "b": 1}, 2),
    "empty arrays": pickle.dumps({"feature": {"v": np.zeros((0, 0, 8), "f")}}, 2),
    "arrays of NaN": pickle.dumps({"feature": {"v": np.full((2, 2, 8), np.nan)}}, 2),
}


PICKLE, ZIP = [strange_pickle, number_in_pickle, number_in_pickle], [member_cut, strange_zip]


def _change_pickle(path: pathlib.Path, change: Callable[[bytes], bytes]) -> None:
    """Changes the pickle of a file, or that in a zip of torch."""
    members = _members(path)
    if not members:
        path.write_bytes(change(path.read_bytes()))
        return
    name = next((name for name in members if name.endswith(".pkl")), None)
    if name:
        members[name] = change(members[name])
        _zip(path, members)


def _members(path: pathlib.Path) -> dict[str, bytes]:
    """Contents of the members of an archive, by their names; empty if it is none."""
    try:
        with zipfile.ZipFile(path) as file:
            return {name: file.read(name) for name in file.namelist()}
    except (zipfile.BadZipFile, OSError):
        return {}


def _zip(path: pathlib.Path, members: dict[str, bytes], twice: bool = False) -> None:
    """Writes an archive; `twice`: with every member twice."""
    import warnings

    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        for name, content in list(members.items()) * (1 + twice):
            file.writestr(name, content)


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def _changed(array: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """An array like another, but for one thing, and what that is."""
    kinds = [
        *("0-d", "text", "pickle", "complex", "shorter", "an axis more", "none left"),
        *("NaN", "infinite", "negative", "one value", "structured"),
    ]
    kind = _draw(rng, kinds)
    # Of what is no number, as if it were four zeros
    flat = array.astype(np.float64) if array.dtype.kind in "iufb" else np.zeros(4)
    changed = {
        "0-d": np.float64(1.0),
        "text": np.full(array.shape, "text"),
        "pickle": np.array([{"a": 1}], object),
        "complex": flat + 1j,
        "shorter": array[: len(array) // 2] if array.ndim else array,
        "an axis more": array[None],
        "none left": array[:0] if array.ndim else np.zeros(0),
        "structured": np.zeros(3, [("a", "f4"), ("b", "i4")]),
    }
    if kind in changed:
        return np.asarray(changed[kind]), kind
    flat = np.atleast_1d(flat).copy()
    value = {"NaN": np.nan, "infinite": np.inf, "negative": -5.0, "one value": 1e30}[kind]
    if flat.size:
        flat.flat[int(rng.integers(flat.size))] = value
    return flat, kind


def _header(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The bytes of a `.npy` with a false header, and what it says."""
    kind = _draw(rng, ["terabytes", "negative", "other type", "no header", "version 9"])
    shape = {"terabytes": (HUGE,), "negative": (-4,)}.get(kind, (4,))
    header = io.BytesIO()
    if kind == "no header":
        return content[:8] + b"\xff\xff" + content[10:], kind
    if kind == "version 9":
        return content[:6] + b"\x09\x00" + content[8:], kind
    described = {"descr": "<U9" if kind == "other type" else "<f8", "fortran_order": False}
    npy.write_array_header_1_0(header, {**described, "shape": shape})
    return header.getvalue() + content[128:], kind
