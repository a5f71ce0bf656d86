"""YAML text to nodes with positions. The only file that uses ruamel.yaml; its errors become faults here.

YAML 1.2: `yes` and `on` are texts. Anchors, aliases and merge keys (`<<`) work; tags and a second document do not.

A file that would use up memory or time, by mistake or on purpose, is one fault. There are limits on the size of the
text, on the number of keys and values, and on how deep they are nested, both as written and with aliases and merges
written out. They are far beyond what users write. The parser is stopped at the limit, not after it.

There are two parsers. ruamel's own, in Python, decides: it knows YAML 1.2 and says where a mistake is. libyaml, in C,
is five times as fast; what it reads without any fault is taken from it, unless the text has something about which the
two differ (`_DIFFERENT`, and values that are left out). A file with a fault is read again by the first one. For
everything else both give the same nodes and places: tests/rulefiles/test_two_parsers.py compares them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from _ruamel_yaml import CParser  # type: ignore[import-not-found]  # ruamel.yaml.clib has no types
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from alertbot.rulefiles.faults import Fault, Place, make_fault, short
from alertbot.rules.plain import invisible_name

MAX_SIZE = 4 * 1024 * 1024  # bytes of one file
MAX_CHARACTERS = 4 * 1024 * 1024  # of one file
MAX_VALUES = 100_000  # keys and values of one file, aliases written out; ten lines of aliases can stand for billions
MAX_DEPTH = 50  # lists and mappings in each other
_MAX_TAG = 10_000  # characters: the time that ruamel takes for a tag grows with the square of its length
_MAX_PLACED = 10_000  # characters of a scalar of which each has a place of its own

BYTE_ORDER_MARK = "\ufeff"
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge")}
_KINDS = {
    f"{_TAG}int": "number",
    f"{_TAG}float": "number",
    f"{_TAG}bool": "bool",
    f"{_TAG}null": "null",
}  # others: text


@dataclass(frozen=True, slots=True)
class YamlScalar:
    """One value. `text` has quotes and line breaks resolved; `kind` is its YAML type.

    `kind` is `text`, `number`, `bool` or `null`; a quoted value is always text.
    """

    text: str
    kind: str
    place: Place
    quoted: bool = False
    places: tuple[Place, ...] = ()  # of each character of `text`, where they are not simply consecutive

    def place_of(self, offset: int) -> Place:
        """The place of a character of `text` in the file; `place` where that is unknown."""
        if not self.places:
            return Place(self.place.line, self.place.column + offset)
        return self.places[min(offset, len(self.places) - 1)]


@dataclass(frozen=True, slots=True)
class YamlSequence:
    """A list."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class YamlMapping:
    """Keys with their values, in file order. Keys merged by `<<` come last, and only where they are new."""

    entries: tuple[tuple[YamlScalar, Node], ...]
    place: Place

    def get(self, name: str) -> Node | None:
        """The value of that key, or None."""
        return next((value for key, value in self.entries if key.text == name), None)

    def key(self, name: str) -> YamlScalar | None:
        """The key itself, for its place."""
        return next((key for key, _ in self.entries if key.text == name), None)


Node = YamlScalar | YamlSequence | YamlMapping


_EMPTY = ("this file is empty", "write rules: and a list below it")


def read(file: str, data: bytes | str, *, if_empty: tuple[str, str] = _EMPTY) -> tuple[Node | None, list[Fault]]:
    """The document of a file, and its faults as YAML. None: there is nothing more to read.

    `if_empty`: message and hint for an empty file.
    """
    text, fault = _decoded(file, data)
    fault = fault or _unreadable(file, text)
    if fault is not None:
        return None, [fault]
    lines = _LINE_BREAK.split(text)
    made = _read_fast(file, text, lines)
    return (made, []) if made is not None else _read_exactly(file, text, lines, if_empty)


Files = Mapping[str, bytes | str]
"""Contents by the name of their file."""
Documents = dict[tuple[str, bytes | str], tuple[Node | None, list[Fault]]]
"""What `read` returned, by the name and the content of a file."""


def read_each(files: Files, documents: Documents | None = None) -> dict[str, tuple[Node | None, list[Fault]]]:
    """What `read` returns of each file. `documents` keeps it, for further calls with the same files."""
    documents = {} if documents is None else documents
    for content in files.items():
        if content not in documents:
            documents[content] = read(*content)
    return {file: documents[file, data] for file, data in files.items()}


def roots(files: Files, documents: Documents | None = None) -> dict[str, Node | None]:
    """The document of each file, for the places in it; None where it cannot be read. `documents`: as in `read_each`."""
    return {file: root for file, (root, _) in read_each(files, documents).items()}


def _read_exactly(file: str, text: str, lines: list[str], if_empty: tuple[str, str]) -> tuple[Node | None, list[Fault]]:
    """What ruamel's own parser reads, and the faults that it finds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a second anchor of a name is allowed: the later one counts
            yaml = YAML(typ="safe", pure=True)
            yaml.Composer = _BoundedComposer
            node = yaml.compose(text)
        if node is None:
            return None, [Fault(file, 1, 1, if_empty[0], hint=if_empty[1])]
        reader = _Reader(file, lines)
        return reader.node(node), reader.faults
    except _TooLargeError as error:
        return None, [make_fault(file, error.place, error.message, error.hint)]
    except ReaderError as error:
        return None, [_bad_character(file, text, error)]
    except MarkedYAMLError as error:
        return None, [_bad_yaml(file, lines, error)]
    except (YAMLError, ValueError) as error:
        # Numbers that Python cannot represent and the like; ruamel lets some of these errors through.
        return None, [Fault(file, 1, 1, f"not valid YAML: {_first_line(error)}")]


# Where libyaml and ruamel differ, or may: tabs, line breaks of YAML 1.1, control characters, directives and documents,
# `"a":b` and `>#` without a space, a block that begins with an empty line, tags, anchors that are more than a word. And
# what could be nested too deeply: libyaml's nodes are made recursively, and only then counted.
_DIFFERENT = re.compile(
    r"""[\t\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]|\r(?!\n)"""
    r"""|^(?:%|---|\.\.\.)|["'\]}]:(?=[^ \n\r])|[|>][-+0-9]*\#|[|>][-+0-9]* *(?: \#[^\n]*)?\r?\n *\r?$"""
    r"""|(?:^|[ \[{,])[&*][\w-]*[^\w\s,\]}-]|(?:^|[-:?,\[{]|&\w+)[ ]*!|^[ ?-]{60}""",
    re.MULTILINE,
)
_FAST_SIZE = 2 * MAX_VALUES  # characters: every value takes two, so there cannot be too many
_FAST_DEPTH = MAX_DEPTH  # brackets that are open at once


_TYPES: dict[str | None, list[tuple[str, re.Pattern[str]]]] = VersionedResolver().versioned_resolver
"""Of YAML 1.2: tags with the patterns of their values, by the first character of the value."""
_TAGS = {tag: Tag(suffix=tag) for rows in _TYPES.values() for tag, _ in rows}


class _FastParser(CParser, VersionedResolver):  # type: ignore[misc]  # as above
    """libyaml with the types of YAML 1.2."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        VersionedResolver.__init__(self)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that has none of its own; `implicit[0]`: it is a plain scalar. Faster than ruamel's."""
        if kind is ScalarNode:
            if implicit[0]:
                for tag, pattern in _TYPES.get(value[:1], ()):
                    if pattern.match(value):
                        return _TAGS[tag]
            return self.DEFAULT_SCALAR_TAG
        return self.DEFAULT_SEQUENCE_TAG if kind is SequenceNode else self.DEFAULT_MAPPING_TAG


def _read_fast(file: str, text: str, lines: list[str]) -> Node | None:
    """What libyaml reads; None where the other parser has to decide: after a fault, and where the two may differ."""
    if len(text) > _FAST_SIZE or _DIFFERENT.search(text) or _brackets(text) > _FAST_DEPTH:
        return None
    reader = _Reader(file, lines)
    try:
        root = _FastParser(text).get_single_node()
        made = reader.node(root) if root is not None else None
    except (_TooLargeError, YAMLError, ValueError, RecursionError, AttributeError):
        return None
    # The place of a value that is left out is the end of what stands before it, which the two see differently.
    return None if reader.faults or reader.left_out else made


def _brackets(text: str) -> int:
    """How many brackets are open at once, at most; those in texts and comments count too."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


class _TooLargeError(Exception):
    """A file beyond one of the limits."""

    def __init__(self, place: Place, message: str, hint: str) -> None:
        super().__init__(message)
        self.place, self.message, self.hint = place, message, hint


def _too_deep(place: Place) -> _TooLargeError:
    return _TooLargeError(place, "lists and mappings are nested too deeply", f"at most {MAX_DEPTH} levels")


class _BoundedComposer(Composer):
    """Composes the nodes of a file until there are too many of them."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._nodes = self._levels = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._nodes += 1
        self._levels += 1
        if self._nodes > MAX_VALUES:
            raise _TooLargeError(
                _place(self.parser.peek_event()), f"more than {MAX_VALUES:,} keys and values", "split the file"
            )
        if self._levels > MAX_DEPTH:
            raise _too_deep(_place(self.parser.peek_event()))
        node = super().compose_node(parent, index)
        self._levels -= 1
        return node


_LINE_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")


def lines_of(data: bytes | str) -> list[str]:
    """The lines of a file, as places count them."""
    return _LINE_BREAK.split(_decoded("", data)[0])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]


def _decoded(file: str, data: bytes | str) -> tuple[str, Fault | None]:
    if isinstance(data, str):
        return data.removeprefix(BYTE_ORDER_MARK), None
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        start = max(data.rfind(b"\n", 0, error.start), data.rfind(b"\r", 0, error.start)) + 1
        line = len(_LINE_BREAK.split(data[: error.start].decode("utf-8", "replace")))
        column = len(data[start : error.start].decode("utf-8", "replace")) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return "", Fault(file, line, column, message, hint="save the file as UTF-8")


_LONG_TAG = re.compile(rf"(?:^|(?<=[\s,\[{{]))!\S{{{_MAX_TAG}}}")


def _unreadable(file: str, text: str) -> Fault | None:
    """Why the text must not be parsed at all."""
    if len(text) > MAX_CHARACTERS:
        return Fault(file, 1, 1, f"more than {MAX_CHARACTERS:,} characters", hint="split the file")
    if BYTE_ORDER_MARK in text:  # nothing after it would be read as it is shown
        message = f"{invisible_name(BYTE_ORDER_MARK)} inside the file"
        return _at(file, text, text.index(BYTE_ORDER_MARK), message, "two files were joined here: remove it")
    if found := _LONG_TAG.search(text):
        return _at(file, text, found.start(), f"a tag of more than {_MAX_TAG:,} characters", "remove it")
    return None


def _at(file: str, text: str, offset: int, message: str, hint: str) -> Fault:
    """A fault at a character of the text."""
    before = _LINE_BREAK.split(text[:offset])
    return Fault(file, len(before), len(before[-1]) + 1, message, hint=hint)


def _bad_character(file: str, text: str, error: ReaderError) -> Fault:
    position = error.position if isinstance(error.position, int) else 0
    code = ord(text[position]) if position < len(text) else 0
    return _at(file, text, position, f"the control character U+{code:04X} is not allowed", "remove it")


# Messages of ruamel, and what they mean to a rule author.
_MESSAGES = (
    (r"mapping values are not allowed here", "an unexpected :", "put the text in quotes, or fix the indentation"),
    (r"sequence entries are not allowed here", "an unexpected -", "put the list on a line of its own"),
    (
        r"found undefined alias '(.*)'",
        "*{0} is an alias without an anchor",
        'for a pattern, use quotes: "*{0}"; an alias needs &{0} before it',
    ),
    (
        r"expected chomping or indentation indicators",
        "a condition cannot begin with >",
        "write the metric key before it, as in slaPercentage.today >= 80%",
    ),
    (r"found another document", "a second document", "a file has one document: remove the ---"),
    (r"unexpected end of stream", "a quote that is not closed", "write the closing quote"),
    (
        r"found unknown escape character '(.*)'",
        "\\{0} is not an escape sequence",
        "write \\\\{0}, or use single quotes",
    ),
    (r"found character '(.*)' that cannot start", "a text cannot begin with {0}", "put it in quotes"),
    (r"expected ',' or '\]'", "a list that is not closed", "write the closing ], or a comma"),
    (r"expected ',' or '\}'", "a mapping that is not closed", "write the closing }}, or a comma"),
    (r"expected the node content, but found '<stream end>'", "the file ends unexpectedly", "close what is open"),
    (r"expected <block end>", "this line does not match those above it", "indent it like the lines around it"),
    (r"could not find expected ':'", "a key without a :", "write a : after it"),
)


def _bad_yaml(file: str, lines: list[str], error: MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    here = lines[line] if line < len(lines) else ""
    if here[column : column + 1] == "\t" or "\t" in here[: len(here) - len(here.lstrip())]:
        place = here.index("\t") if here[column : column + 1] != "\t" else column
        return Fault(file, line + 1, place + 1, "a tab", hint="YAML is indented with spaces")
    problem = (error.problem or error.context or "it cannot be read").strip()
    opened = error.context_mark
    if opened and "end of stream" in problem:  # the place to report is where it began
        line, column = opened.line, opened.column
    for pattern, message, hint in _MESSAGES:
        found = re.search(pattern, problem)
        if found:
            names = [short(name) for name in found.groups()]
            return make_fault(file, Place(line + 1, column + 1), message.format(*names), hint.format(*names))
    return make_fault(file, Place(line + 1, column + 1), f"not valid YAML: {problem}")


class _Reader:
    """ruamel's nodes to the nodes of this file."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines
        self.faults: list[Fault] = []
        self.done: dict[int, Node] = {}  # an alias is its anchor's node: read once, however often it is used
        self.open: set[int] = set()
        self.sizes: dict[int, tuple[int, int]] = {}  # of the nodes made: values, and depth, with aliases written out
        self.merges = 0  # keys that merge keys were asked for
        self.left_out = False  # whether a value is left out, as in `key:`

    def node(self, node: Any) -> Node:
        if id(node) in self.done:
            return self.done[id(node)]
        place = _place(node)
        if id(node) in self.open:
            self.fault(place, "an anchor that contains itself")
            return YamlScalar("", "null", place)
        self.open.add(id(node))
        self.check_tag(node, place)
        made: Node
        if isinstance(node, MappingNode):
            made = YamlMapping(tuple(self.entries(node)), place)
        elif isinstance(node, SequenceNode):
            made = YamlSequence(tuple(self.node(item) for item in node.value), place)
        else:
            made = self.scalar(node, place)
        self.measure(made)
        self.open.discard(id(node))
        self.done[id(node)] = made
        return made

    def measure(self, made: Node) -> None:
        """Note how large a node is with its aliases written out. Raises _TooLargeError beyond a limit."""
        if isinstance(made, YamlScalar):
            self.sizes[id(made)] = 1, 1
            return
        children = made.items if isinstance(made, YamlSequence) else [value for _, value in made.entries]
        values = depth = 1
        for child in children:
            size, below = self.sizes.get(id(child), (1, 0))
            values += size
            depth = max(depth, below + 1)
        self.sizes[id(made)] = values, depth
        if values > MAX_VALUES:
            raise self.too_many(made.place)
        if depth > MAX_DEPTH:
            raise _too_deep(made.place)

    def too_many(self, place: Place) -> _TooLargeError:
        return _TooLargeError(place, f"its aliases stand for more than {MAX_VALUES:,} values", "use fewer aliases")

    def entries(self, node: MappingNode) -> Iterator[tuple[YamlScalar, Node]]:
        seen: dict[str, Place] = {}
        merged: list[Any] = []
        for key, value in node.value:
            place = _place(key)
            if not isinstance(key, ScalarNode):
                self.fault(place, "a list or mapping as a key", "a key is a single word")
                continue
            if str(key.tag) == f"{_TAG}merge":
                merged.append(value)
                continue
            made = self.node(key)
            assert isinstance(made, YamlScalar)
            if made.text in seen:
                first = seen[made.text]
                self.fault(place, f'duplicate key "{short(made.text)}"', f"first in line {first.line}", made.text)
                continue
            seen[made.text] = place
            yield made, self.node(value)
        for value in merged:
            for key, inner in self.merged(self.node(value), _place(value)):
                self.merges += 1
                if self.merges > MAX_VALUES:
                    raise self.too_many(_place(value))
                if key.text not in seen:
                    seen[key.text] = key.place
                    yield key, inner

    def merged(self, node: Node, place: Place) -> Iterator[tuple[YamlScalar, Node]]:
        for each in node.items if isinstance(node, YamlSequence) else (node,):
            if isinstance(each, YamlMapping):
                yield from each.entries
            else:
                self.fault(place, "<< takes a mapping", "write <<: *name, the alias of a mapping")

    def scalar(self, node: ScalarNode, place: Place) -> YamlScalar:
        style = node.style or ""
        self.left_out = self.left_out or not (style or node.value)
        kind = "text" if style else _KINDS.get(str(node.tag), "text")
        return YamlScalar(node.value, kind, place, bool(style), self.places(node, style))

    def places(self, node: ScalarNode, style: str) -> tuple[Place, ...]:
        """The place of each character of a scalar, and of its end; () where they are consecutive."""
        start, end = node.start_mark, node.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        if not style and start.line == end.line and end.column - start.column == len(node.value):
            return ()
        if len(node.value) > _MAX_PLACED:
            return (_place(node),)
        if start.line == end.line and style in ("'", '"'):
            raw = line[start.column + 1 : end.column - 1]
            pattern = r"''|." if style == "'" else r"\\(?:x..|u.{4}|U.{8}|.)|."
            offsets = [match.start() for match in re.finditer(pattern, raw)] + [len(raw)]
            if len(offsets) == len(node.value) + 1:
                return tuple(Place(start.line + 1, start.column + 2 + offset) for offset in offsets)
            return (_place(node),)
        if start.line == end.line:
            # An anchor or tag stands before the text but belongs to the node.
            shift = max(0, end.column - start.column - len(node.value))
            return tuple(Place(start.line + 1, start.column + 1 + shift + at) for at in range(len(node.value) + 1))
        return self.folded(node, style)

    def folded(self, node: ScalarNode, style: str) -> tuple[Place, ...]:
        """Over several lines only whitespace changes: visible characters are in the file in the same order.

        Where that does not hold (escapes), every place is that of the scalar.
        """
        visible = self.visible(node, style)
        places, at = [], _place(node)
        for character in node.value:
            if not character.isspace():
                found, at = next(visible, ("", at))
                if found != character:
                    return (_place(node),)
            places.append(at)
            at = Place(at.line, at.column + 1)
        return (*places, at)

    def visible(self, node: ScalarNode, style: str) -> Iterator[tuple[str, Place]]:
        """The visible characters of a scalar's lines, without quotes and the header of a block."""
        start, end = node.start_mark, node.end_mark
        first = start.line + 1 if style in ("|", ">") else start.line
        quote = style in ("'", '"')
        for number in range(first, min(end.line + 1, len(self.lines))):
            begin = start.column + quote if number == start.line else 0
            stop = end.column - quote if number == end.line else len(self.lines[number])
            for column in range(begin, min(stop, len(self.lines[number]))):
                character = self.lines[number][column]
                if not character.isspace():
                    yield character, Place(number + 1, column + 1)

    def check_tag(self, node: Any, place: Place) -> None:
        tag = str(node.tag or "")
        if tag in _KNOWN_TAGS:
            return
        self.fault(place, f"the tag {short(tag.replace(_TAG, '!!'))} is not supported", "remove it")

    def fault(self, place: Place, message: str, hint: str = "", excerpt: str = "") -> None:
        self.faults.append(make_fault(self.file, place, message, hint, excerpt))


def _place(node: Any) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


KeyPath = tuple[int | str, ...]
"""The path to a value: keys, and indexes of lists."""


def place_of(node: Node, path: KeyPath) -> Place:
    """The place of the deepest part of `path` that exists: a key of a mapping, or an item of a list."""
    place = Place(1, 1)
    for part in path:
        value: Node | None = None
        if isinstance(node, YamlMapping):
            key, value = node.key(str(part)), node.get(str(part))
            place = key.place if key else place
        elif isinstance(node, YamlSequence) and isinstance(part, int) and part < len(node.items):
            value = node.items[part]
            place = value.place
        if value is None:
            break
        node = value
    return place


def value_at(node: Node, path: KeyPath) -> Node | None:
    """The value at `path`; None where there is none."""
    value: Node | None = node
    for part in path:
        if isinstance(value, YamlMapping):
            value = value.get(str(part))
        elif isinstance(value, YamlSequence) and isinstance(part, int) and part < len(value.items):
            value = value.items[part]
        else:
            return None
    return value


def plain_value(node: Node) -> Any:
    """The node as dict, list, str, int, float, bool or None. Dates are strings."""
    match node:
        case YamlMapping(entries=entries):
            return {key.text: plain_value(value) for key, value in entries}
        case YamlSequence(items=items):
            return [plain_value(item) for item in items]
        case YamlScalar(kind="null"):
            return None
        case YamlScalar(kind="bool", text=text):
            return text.lower() == "true"
        case YamlScalar(kind="number", text=text):
            return _number(text)
    return node.text


def _number(text: str) -> int | float | str:
    """A YAML number; the text itself if Python cannot convert it."""
    digits = text.replace("_", "")
    conversions: tuple[Callable[[str], int | float], ...] = (int, partial(int, base=0), float)
    for convert in conversions:
        try:
            return convert(digits)
        except ValueError:
            continue
    return text
