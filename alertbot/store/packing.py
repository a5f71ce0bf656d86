"""The columns of a snapshot in few bytes: each poll as its difference from the one before it.

A column is whole numbers: counts and milliseconds as they are, ratios times a power of ten if that is exact, words
by their index in a list, and anything else as the bits of its float64. Most values that change between two polls change
little, so the differences fit in one or two bytes; zlib compresses the zeros. Nothing is rounded: what is read is what
was written. A row without `before` (a key frame) can be read alone, the others in order after it. A poll that differs
in nothing from the one before it is no bytes at all (STILL).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.block import Block
from alertbot.evaluation.snapshot import Column, Presence

# Of the descriptor of a column: bits 0 to 2 the width, 3 whether it is a difference, 4 to 6 the scale.
_WIDTHS: tuple[Any, ...] = (None, np.uint8, np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))
_LENGTHS = np.array([0, 1, 2, 4, 8], dtype=np.intp)  # bytes of a number, by width
_DIFFERENCE = 8
_BITS, _WORDS, _SCALES = 0, 1, (1.0, 100.0, 10_000.0, 1_000_000.0)
_FIRST_SCALE = 2
STILL = b""
"""The row of a poll whose values are those of the poll before it."""
_EXACT = float(2**53)
_HALF = 2**63  # numbers are int64: differences wrap around

_PRESENT = np.uint8(Presence.PRESENT)  # a member of an enum costs more than a comparison of 200 numbers
_BEGINNING = 128  # bytes of a row that its head mostly fits into

MAX_CELLS = 1 << 20
"""How many values `unpack_block` should read at once: 8 MB, twice."""

MAX_CELLS = 1 << 20
"""How many values `unpack_block` should read at once: 8 MB, twice."""

_Ints = NDArray[np.int64]


@dataclass(slots=True)
class _Packed:
    """One column as whole numbers."""

    scale: int
    numbers: _Ints
    presence: NDArray[np.uint8]
    words: list[str] = field(default_factory=list)
    column: Column | None = None  # as it was, where it was packed by this process


Frame = Mapping[str, _Packed]
"""The columns of one poll as whole numbers: what the next poll is compared with."""


class _Head(msgspec.Struct, array_like=True):
    """What precedes the numbers. `missing`: whether presences follow; `words`: new ones, by text column."""

    descriptors: bytes
    missing: bool
    words: list[list[str]]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Head)


def pack(columns: Mapping[str, Column], before: Frame | None = None) -> tuple[bytes, Frame]:
    """The bytes of these columns, in their order, and the frame that the next poll can be compared with.

    `before` is the frame of the poll before, of the same keys and entities in the same order.
    """
    frame: dict[str, _Packed] = {}
    descriptors, planes, presences = bytearray(), [], []
    words: list[list[str]] = []
    missing = False
    for key, column in columns.items():
        old = None if before is None else before[key]
        if old is not None and old.column is not None and old.column.same_values(column):
            descriptors.append(old.scale << 4 | _DIFFERENCE)  # of no width
            presences.append(bytes(len(column.presence)))
            if column.is_text:
                words.append([])
            frame[key] = old
            continue
        here = column.presence != Presence.PRESENT
        whole = not here.any()
        packed = _words(column, old) if column.is_text else _numbers(column, here, whole=whole, old=old)
        if column.is_text:
            words.append(packed.words[0 if old is None else len(old.words) :])
        numbers, descriptor = packed.numbers, packed.scale << 4
        if old is not None and old.scale == packed.scale:
            numbers = numbers - old.numbers
            descriptor |= _DIFFERENCE
        if not whole:
            numbers = np.where(here, 0, numbers)
        zigzag = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
        width, plane = _planes(zigzag)
        descriptors.append(descriptor | width)
        planes.append(plane)
        presence = column.presence if old is None else column.presence ^ old.presence
        presences.append(presence.astype(np.uint8, copy=False).tobytes())
        missing = missing or bool(presence.any())
        if not whole:  # a missing value keeps the number from before, so that the next difference is small
            packed.numbers = np.where(here, _known(old, packed), packed.numbers)
        packed.column = column
        frame[key] = packed
    head = _ENCODER.encode(_Head(bytes(descriptors), missing, words))
    body = b"".join([len(head).to_bytes(4, "little"), head, *planes, *(presences if missing else ())])
    # Run lengths are all there is to compress: this is smaller and faster than plain level 1. Level 6 saves another
    # fifteenth for nearly twice the time; 1,000 queues x 12 keys of a busy hour are 1.9 kB a poll, 0.3 ms.
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return deflate.compress(body) + deflate.flush(), frame


def unpack(
    packed: bytes, layout: Mapping[str, bool], size: int, before: Frame | None, wanted: frozenset[str] | None = None
) -> Frame:
    """The frame of a row, or the part of it that is `wanted`. `before` must have that part.

    `layout` is the keys in their order and whether they are text; `size` is how many entities there are. Raises
    ValueError for bytes that are not such a row.
    """
    if packed == STILL and before is not None:
        return before
    body, head, start = _opened(packed)
    texts = iter(head.words)
    frame: dict[str, _Packed] = {}
    presences = len(body) - (size * len(layout) if head.missing else 0)
    for place, ((key, text), descriptor) in enumerate(zip(layout.items(), head.descriptors, strict=True)):
        width = descriptor & 7
        end = start + (size << (width - 1) if width else 0)
        new = next(texts) if text else []
        if wanted is None or key in wanted:
            old = before[key] if before is not None else None
            if descriptor & _DIFFERENCE and old is None:
                raise ValueError("the poll before it is missing")
            differs = old if descriptor & _DIFFERENCE else None
            numbers = _from_planes(body, start, width, size, None if differs is None else differs.numbers)
            presence = old.presence if old is not None else np.zeros(size, dtype=np.uint8)
            if head.missing:
                presence = presence ^ np.frombuffer(body, np.uint8, size, presences + place * size)
            words = [] if old is None else old.words
            frame[key] = _Packed(descriptor >> 4, numbers, presence, [*words, *new] if new else words)
        start = end
    return frame


def _opened(packed: bytes) -> tuple[bytes, _Head, int]:
    """The body of a row, its head, and where its first column begins. Raises ValueError for other bytes."""
    try:
        body = zlib.decompress(packed)
        start = 4 + int.from_bytes(body[:4], "little")
        return body, _DECODER.decode(body[4:start]), start
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a recorded poll: {error}") from error


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of one entity, as a whole number: what the next poll's row is compared with."""

    scale: int
    number: int
    presence: int

    @property
    def value(self) -> float | None:
        """The value in column units; None where it is missing, and for text."""
        if self.presence != Presence.PRESENT or self.scale == _WORDS:
            return None
        if self.scale == _BITS:
            return float(np.int64(self.number).view(np.float64))
        return self.number / _SCALES[self.scale - _FIRST_SCALE]


def unpack_cell(packed: bytes, keys: Sequence[str], size: int, before: Cell | None, key: str, row: int) -> Cell:
    """What `unpack` reads for one key and the entity of this row, without making arrays of all the others.

    `before` is the same cell of the poll before, None for a key frame. Raises ValueError for bytes that are not such
    a row. Most of the time is spent in zlib, so what comes after the column is decompressed only where it is needed:
    where some value became missing, or is no longer.
    """
    if packed == STILL and before is not None:
        return before
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(packed, _BEGINNING)
        start = 4 + int.from_bytes(body[:4], "little")
        if start > len(body):
            body += stream.decompress(stream.unconsumed_tail, start - len(body))
        head = _DECODER.decode(body[4:start])
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a recorded poll: {error}") from error
    place = keys.index(key)
    if place >= len(head.descriptors):
        raise ValueError("not a recorded poll: a column is missing")
    for descriptor in head.descriptors[:place]:
        width = descriptor & 7
        start += size << (width - 1) if width else 0
    descriptor = head.descriptors[place]
    width = descriptor & 7
    end = start + (size << (width - 1) if width else 0)
    try:
        if head.missing:
            body += stream.decompress(stream.unconsumed_tail)
        elif end > len(body):
            body += stream.decompress(stream.unconsumed_tail, end - len(body))
    except zlib.error as error:
        raise ValueError(f"not a recorded poll: {error}") from error
    if end > len(body) or (head.missing and not stream.eof):
        raise ValueError("not a recorded poll: it is cut off")
    planes = body[start + row : end : size]
    zigzag = int.from_bytes(planes, "little")
    number = (zigzag >> 1) ^ -(zigzag & 1)
    if descriptor & _DIFFERENCE:
        if before is None:
            raise ValueError("the poll before it is missing")
        number += before.number
    presence = before.presence if before is not None else 0
    if head.missing:
        presence ^= body[len(body) - size * (len(keys) - place) + row]
    return Cell(descriptor >> 4, (number + _HALF) % (2 * _HALF) - _HALF, presence)


# Many rows at once.


def unpack_block(
    rows: Sequence[bytes], layout: Mapping[str, bool], size: int, before: Frame | None, wanted: frozenset[str] | None
) -> tuple[Block, Frame]:
    """What `unpack` and `columns_of` read of these rows, one after the other, and the frame of the last one.

    Only the first of them may be a key frame. Raises ValueError or IndexError if one of them is not such a row;
    `unpack` then finds out which.

    This takes a quarter of the time that row by row takes: what is of the same width in all rows is decoded in a few
    calls of numpy, and the differences of all columns are added up together.
    """
    columns = [(column, key) for column, key in enumerate(layout) if wanted is None or key in wanted]
    keys = [key for _, key in columns]
    parts = _Parts.of(rows, layout, size, [column for column, _ in columns], before)
    numbers = np.zeros((len(rows) + 1, len(keys), size), dtype=np.int64)
    presence = np.zeros(numbers.shape, dtype=np.uint8)
    if before is not None:
        for place, key in enumerate(keys):
            numbers[0, place], presence[0, place] = before[key].numbers, before[key].presence
    for width in range(1, len(_WIDTHS)):
        at, places = (parts.widths == width).nonzero()
        if len(at) and size:
            planes = _pieces(parts.bodies, size << (width - 1), parts.offsets[at, places])
            if width > 1:
                planes = np.ascontiguousarray(planes.reshape(len(at), -1, size).transpose(0, 2, 1))
                planes = planes.view(_WIDTHS[width]).reshape(len(at), size)
            numbers[parts.lines[at], places] = _from_zigzag(planes)
    begins = _begins(parts, before, keys)
    again = {place: numbers[:, place].copy() for place, lines in begins.items() if len(lines) > 1}
    for line in range(1, len(numbers)):  # an eighth of the time of numpy's own sum over this axis
        numbers[line] += numbers[line - 1]
    for place, differences in again.items():  # whose scale changed: from there on they are added up separately
        for first, end, _ in _spans(begins[place], len(numbers)):
            np.add.accumulate(differences[first:end], axis=0, out=numbers[first:end, place])
    if len(parts.missing) and presence.size:
        presence[parts.missing] = _pieces(parts.bodies, size, parts.presences)
    if len(parts.missing) or presence[0].any():
        np.bitwise_xor.accumulate(presence, axis=0, out=presence)
    values: dict[str, NDArray[Any]] = {}
    frame: dict[str, _Packed] = {}
    for place, key in enumerate(keys):
        words = [*(before[key].words if before is not None else ()), *parts.words.get(key, ())]
        spans = [each for each in _spans(begins[place], len(numbers)) if each[1] > 1]
        matrices = [
            _values(scale, numbers[max(first, 1) : end, place], words, presence[max(first, 1) : end, place])
            for first, end, scale in spans
        ]
        values[key] = matrices[0] if len(matrices) == 1 else np.concatenate(matrices)
        frame[key] = _Packed(spans[-1][2], numbers[-1, place].copy(), presence[-1, place].copy(), words)
    return Block(values, {key: presence[1:, place] for place, key in enumerate(keys)}), frame


@dataclass(slots=True)
class _Parts:
    """What the heads of some rows say, of the wanted columns: a place for each. Line 0 is the poll before the rows."""

    bodies: NDArray[np.uint8]  # of all rows
    lines: NDArray[np.intp]  # of the rows that are not STILL; so are the next four
    differs: NDArray[np.bool_]  # by row and place
    scales: NDArray[np.uint8]
    widths: NDArray[np.uint8]
    offsets: NDArray[np.intp]  # in `bodies`
    missing: NDArray[np.intp]  # the lines that have presences
    presences: NDArray[np.intp]  # where these are, by place
    words: dict[str, list[str]]  # new ones

    @classmethod
    def of(
        cls,
        rows: Sequence[bytes],
        layout: Mapping[str, bool],
        size: int,
        columns: Sequence[int],
        before: Frame | None,
    ) -> _Parts:
        texts = [key for key, text in layout.items() if text]
        bodies, descriptors, places = list[bytes](), list[bytes](), list[tuple[int, int, int]]()
        missing: list[tuple[int, int]] = []
        words: dict[str, list[str]] = {}
        base = 0  # where the body of the row begins
        for line, packed in enumerate(rows, 1):
            if packed == STILL and (line > 1 or before is not None):
                continue
            body, head, start = _opened(packed)
            if len(head.descriptors) != len(layout):
                raise ValueError("not a recorded poll: it has other columns")
            end = len(body)
            if head.missing:
                end -= size * len(layout)
                missing.append((line, base + end))
            for key, new in zip(texts, head.words, strict=True) if texts else ():
                words.setdefault(key, []).extend(new)
            bodies.append(body)
            descriptors.append(head.descriptors)
            places.append((line, base + start, base + end))
            base += len(body)
        found = np.frombuffer(b"".join(descriptors), np.uint8).reshape(len(bodies), len(layout))
        lines, starts, ends = np.array(places, dtype=np.intp).reshape(-1, 3).T
        lengths = size * _LENGTHS[found & 7]
        offsets = starts[:, np.newaxis] + lengths.cumsum(axis=1) - lengths
        if layout and (offsets[:, -1] + lengths[:, -1] > ends).any():
            raise ValueError("not a recorded poll: it is cut off")
        chosen = found[:, columns]
        with_presences = np.array(missing, dtype=np.intp).reshape(-1, 2)
        return cls(
            np.frombuffer(b"".join(bodies), np.uint8),
            lines,
            (chosen & _DIFFERENCE) != 0,
            chosen >> np.uint8(4),
            chosen & np.uint8(7),
            offsets[:, columns],
            with_presences[:, 0],
            with_presences[:, 1:] + size * np.array(columns, dtype=np.intp),
            words,
        )


def _begins(parts: _Parts, before: Frame | None, keys: Sequence[str]) -> dict[int, list[tuple[int, int]]]:
    """By place, the lines at which numbers are not differences to the line before, each with the scale from there on.

    Raises ValueError for a difference to numbers that are missing, or of another scale.
    """
    begins = {place: [(0, before[key].scale)] if before is not None else [] for place, key in enumerate(keys)}
    scales = parts.scales
    last = np.array([[before[key].scale for key in keys]], np.uint8) if before is not None else scales[:1] ^ 0xFF
    if (parts.differs & (scales != np.concatenate([last, scales[:-1]]))).any():
        raise ValueError("not a recorded poll: a difference to a poll that is missing")
    for row, place in zip(*(~parts.differs).nonzero(), strict=True):
        begins[int(place)].append((int(parts.lines[row]), int(scales[row, place])))
    return begins


def _spans(begins: Sequence[tuple[int, int]], end: int) -> list[tuple[int, int, int]]:
    """First line, the line after the last, and scale of each span of lines with one scale."""
    ends = [line for line, _ in begins[1:]]
    return [(line, until, scale) for (line, scale), until in zip(begins, [*ends, end], strict=True)]


def _pieces(raw: NDArray[np.uint8], length: int, offsets: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The pieces of this length that begin at the offsets, along the last axis."""
    every = np.lib.stride_tricks.as_strided(raw, (len(raw) - length + 1, length), (1, 1), writeable=False)
    pieces: NDArray[np.uint8] = every[offsets]
    return pieces


def columns_of(frame: Frame) -> Mapping[str, Column]:
    """The columns of a frame."""
    return {key: _column(one) for key, one in frame.items()}


def _column(one: _Packed) -> Column:
    return Column(_values(one.scale, one.numbers, one.words, one.presence), one.presence)


def _values(scale: int, numbers: _Ints, words: Sequence[str], presence: NDArray[np.uint8]) -> NDArray[Any]:
    """The values of a column or of several lines of it: NaN, or "" for text, where they are missing."""
    here = presence != _PRESENT
    if scale == _WORDS:
        known = np.empty(len(words) + 1, dtype=np.object_)
        known[:] = [*words, ""]
        texts: NDArray[Any] = known[np.where(here, len(words), numbers)]
        return texts
    values: NDArray[np.float64]
    if scale == _BITS:
        values = numbers.view(np.float64).copy()  # not a view: it would keep the numbers of all keys in memory
    else:
        factor = _SCALES[scale - _FIRST_SCALE]
        values = numbers.astype(np.float64) if factor == 1.0 else numbers / factor
    return np.where(here, np.nan, values) if here.any() else values


def _numbers(column: Column, here: NDArray[np.bool_], *, whole: bool, old: _Packed | None) -> _Packed:
    values = column.values.astype(np.float64, copy=False)
    if not whole:
        values = np.where(here, 0.0, values)
    presence = column.presence.astype(np.uint8, copy=False)
    # The previous scale first: only numbers of the same scale have small differences.
    first = 0 if old is None else len(_SCALES) if old.scale == _BITS else old.scale - _FIRST_SCALE
    for index in range(first, len(_SCALES)):
        scale = _SCALES[index]
        with np.errstate(invalid="ignore", over="ignore"):  # an overflow is not exact, so the value is kept bit for bit
            rounded = np.rint(values * scale)
            exact = (rounded / scale == values) & (np.abs(rounded) < _EXACT)
        if exact.all() and not np.signbit(values[values == 0.0]).any():
            return _Packed(index + _FIRST_SCALE, rounded.astype(np.int64), presence)
    return _Packed(_BITS, values.view(np.int64), presence)


def _words(column: Column, old: _Packed | None) -> _Packed:
    words = [] if old is None else list(old.words)
    places = {word: place for place, word in enumerate(words)}
    presence = column.presence.astype(np.uint8, copy=False)
    texts = column.values.astype(np.object_, copy=False)
    if old is not None and old.column is not None:  # most words are those of the poll before
        numbers = old.numbers.copy()
        other = (texts != old.column.values) | (presence != old.presence)
        rows = np.flatnonzero(other & (presence == Presence.PRESENT))
    else:
        numbers = np.zeros(len(texts), dtype=np.int64)
        rows = np.flatnonzero(presence == Presence.PRESENT)
    found = []
    for word in texts[rows].tolist():
        place = places.get(word)
        if place is None:
            place = places[word] = len(words)
            words.append(str(word))
        found.append(place)
    numbers[rows] = found
    return _Packed(_WORDS, numbers, presence, words)


def _known(old: _Packed | None, packed: _Packed) -> _Ints:
    """The number kept for a missing value: the previous one, if it has the same scale, else 0."""
    if old is not None and old.scale == packed.scale:
        return old.numbers
    return np.zeros(len(packed.numbers), dtype=np.int64)


def _planes(numbers: NDArray[np.uint64]) -> tuple[int, bytes]:
    """The narrowest width that holds all numbers, and the bytes plane by plane: similar ones are adjacent."""
    most = int(numbers.max()) if len(numbers) else 0
    if most == 0:
        return 0, b""
    width = 1 if most < 1 << 8 else 2 if most < 1 << 16 else 3 if most < 1 << 32 else 4
    narrow = numbers.astype(_WIDTHS[width])
    if width == 1:
        return width, narrow.tobytes()
    return width, np.ascontiguousarray(narrow.view(np.uint8).reshape(len(numbers), -1).T).tobytes()


def _from_planes(body: bytes, start: int, width: int, size: int, before: _Ints | None) -> _Ints:
    if width == 0:
        return np.zeros(size, dtype=np.int64) if before is None else before
    raw = np.frombuffer(body, np.uint8, size << (width - 1), start)
    if width > 1:
        raw = np.ascontiguousarray(raw.reshape(-1, size).T).view(_WIDTHS[width]).reshape(size)
    numbers = _from_zigzag(raw)
    return numbers if before is None else numbers + before


def _from_zigzag(raw: NDArray[Any]) -> _Ints:
    zigzag = raw.astype(np.uint64)
    numbers: _Ints = (zigzag >> np.uint64(1)).view(np.int64) ^ -(zigzag & np.uint64(1)).view(np.int64)
    return numbers
