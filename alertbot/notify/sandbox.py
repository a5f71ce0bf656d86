"""Jinja2 with a bound on everything: operators, text, loops, output and time.

Jinja2's own sandbox keeps a template away from Python, but not from the processor: `{{ 9**(9**9) }}` holds the
interpreter for ever, `{{ "x" * 20000000000 }}` takes all memory. Here each rendering has a budget. A template that
exceeds it raises TemplateTooLarge, and counts as broken like any other.

How it works. Operators, and those filters and methods that can make much out of little, are asked for the size of
their result before they compute it; the rest of those filters are gone. So every single operation is short, and every
value small when written out. The compiled code counts each loop turn, macro call and block, and looks at the time
there. Nothing is computed at compile time, since that happens before there is a budget. Time is processor time of the
thread: a busy machine breaks no template.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import (
    BaseLoader,
    Environment,
    StrictUndefined,
    TemplateRuntimeError,
    TemplateSyntaxError,
    nodes,
    pass_context,
    pass_environment,
    pass_eval_context,
)
from jinja2.compiler import CodeGenerator, Frame
from jinja2.filters import FILTERS
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MAX_SOURCE = 100_000  # characters of one template
MAX_SIZE = 50_000  # characters of one text, or of a list with all that is in it
MAX_RANGE = 10_000
MAX_TURNS = 50_000  # loop turns, macro calls and blocks of one rendering
MAX_OUTPUT = 200_000  # characters of one rendering
MAX_SECONDS = 1.0  # of processor time, for one rendering
MAX_BITS = 1024  # of a whole number
MAX_PADDING = 1_000  # characters that one format or filter may add

# These mark text as escaped, which only a pen may do; or they make much out of little and are of no use on a card.
_REMOVED_FILTERS = (
    *("safe", "escape", "e", "forceescape", "urlize", "xmlattr", "tojson"),
    *("pprint", "slice", "batch", "wordwrap"),
)
_REMOVED_METHODS = frozenset({"translate", "maketrans", "format_map", "encode", "to_bytes"})
_PADDING_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_TOO_WIDE = re.compile(r"[0-9]{4,}|%[^%a-zA-Z]*\*|\{[^{}]*\{")  # or a width that is itself a value


class TemplateTooLarge(TemplateRuntimeError):  # as Jinja2 names its errors
    """A template took more than its budget of time, text or loop turns."""


class _Budget:
    """What one rendering may still use."""

    def __init__(self, until: float) -> None:
        self.turns = MAX_TURNS
        self.output = MAX_OUTPUT
        self.until = until  # as time.thread_time()

    def turn(self) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise TemplateTooLarge(f"more than {MAX_TURNS} loop turns and calls; use shorter or fewer loops")
        if time.thread_time() > self.until:
            raise TemplateTooLarge("rendering takes too long; use shorter or fewer loops")

    def write(self, characters: int) -> None:
        self.output -= characters
        if self.output < 0:
            raise TemplateTooLarge(f"more than {MAX_OUTPUT} characters of text")


_budget: ContextVar[_Budget] = ContextVar("budget")
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def bounded(render: Callable[[], str]) -> str:
    """Render with a budget of its own. Raises TemplateTooLarge when it is used up."""
    token = _budget.set(_Budget(min(time.thread_time() + MAX_SECONDS, _deadline.get())))
    try:
        return render()
    finally:
        _budget.reset(token)


@contextmanager
def within_time(seconds: float) -> Iterator[None]:
    """Several renderings that together may take this many seconds of processor time."""
    token = _deadline.set(time.thread_time() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def spend(characters: int) -> None:
    """Count text that the present rendering writes. Raises TemplateTooLarge."""
    _budget.get().write(characters)


def _limited(size: int) -> None:
    if size > MAX_SIZE:
        raise TemplateTooLarge(f"a value of more than {MAX_SIZE} characters or items")


def _size(value: Any) -> int:
    """About how long a value is when it is written out, with everything in it; each part is visited once."""
    known: dict[int, int] = {}

    def size(part: Any) -> int:
        if isinstance(part, str | bytes | range):
            return len(part)
        if not isinstance(part, list | tuple | dict | set | frozenset):
            return 8
        if id(part) not in known:
            known[id(part)] = 1
            inside: Iterable[Any] = (each for pair in part.items() for each in pair) if isinstance(part, dict) else part
            known[id(part)] = 1 + sum(1 + size(each) for each in inside)
        return known[id(part)]

    return size(value)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The environment of all templates. `finalize` writes each value, and counts it by `spend`.

    `escapes`: what `finalize` writes is marked as escaped; else the whole output is plain text, to be escaped later.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, loader: BaseLoader | None, finalize: Callable[..., Any], *, escapes: bool = True) -> None:
        super().__init__(
            loader=loader,
            undefined=StrictUndefined,
            autoescape=escapes,  # so that what macros, set blocks and super() return counts as escaped
            finalize=finalize,
            optimized=False,
            auto_reload=True,
        )
        for name in _REMOVED_FILTERS:
            self.filters.pop(name, None)
        self.filters.update(_BOUNDED_FILTERS)
        self.globals.pop("lipsum", None)
        self.globals.update(range=_range, dict=_dict, namespace=_Namespace)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"a template has at most {MAX_SOURCE} characters", 1, name, filename)
        return super()._parse(source, name, filename)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # as in Jinja2
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps str.format
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str):
            args = _checked_arguments(owner, getattr(method, "__name__", ""), args, kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As the sandbox says, without the methods that make much out of little."""
        if attr in _REMOVED_METHODS and isinstance(obj, str | bytes | int):
            return False
        return super().is_safe_attribute(obj, attr, value)

    # Called by the compiled code.

    def turn(self, characters: int) -> None:
        """Count one turn of a loop, call or block, and the text in it."""
        budget = _budget.get()
        budget.turn()
        budget.write(characters)

    def measured(self, value: Any) -> Any:
        """A list, tuple or dict as written in the template."""
        _limited(_size(value))
        return value

    def joined(self, join: Callable[[Sequence[Any]], str], parts: Sequence[Any]) -> str:
        """The operator `~`."""
        _limited(_size(parts))
        return join(parts)


class _Generator(CodeGenerator):
    """Compiled code that counts, and that measures what it builds."""

    def blockvisit(self, nodes_: Iterable[nodes.Node], frame: Frame) -> None:
        body = list(nodes_)
        if body:
            self.writeline(f"environment.turn({sum(map(_own_text, body))})", body[0])
        super().blockvisit(body, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        join = "markup_join" if frame.eval_ctx.autoescape or frame.eval_ctx.volatile else "str_join"
        self.write(f"environment.joined({join}, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
        self._measured(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self._measured(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802
        if node.ctx == "load":
            self._measured(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def _measured(self, visit: Callable[[Any, Frame], None], node: nodes.Node, frame: Frame) -> None:
        self.write("environment.measured(")
        visit(node, frame)
        self.write(")")


BoundedEnvironment.code_generator_class = _Generator


def _own_text(node: nodes.Node) -> int:
    """Characters of text in an output statement; what is in other statements is counted when they are visited."""
    if not isinstance(node, nodes.Output):
        return 0
    return sum(len(each.data) for each in node.nodes if isinstance(each, nodes.TemplateData))


# Operators and methods.


def _check_operands(operator: str, left: Any, right: Any) -> None:
    """Raise TemplateTooLarge where the result would be too large."""
    whole = isinstance(left, int) and isinstance(right, int)
    if operator == "**":
        if whole and left.bit_length() * max(right, 0) > MAX_BITS:
            raise TemplateTooLarge(f"a number of more than {MAX_BITS} bits")
    elif operator == "*":
        if whole and left.bit_length() + right.bit_length() > MAX_BITS:
            raise TemplateTooLarge(f"a number of more than {MAX_BITS} bits")
        for value, times in ((left, right), (right, left)):
            if isinstance(value, str | bytes | list | tuple) and isinstance(times, int):
                _limited(_size(value) * max(times, 0))
    elif operator == "+":
        if not isinstance(left, int | float):
            _limited(_size(left) + _size(right))
    elif operator == "%" and isinstance(left, str | bytes):
        _check_format(str(left), "%", right)


def _check_format(text: str, mark: str, values: Any) -> None:
    if _TOO_WIDE.search(text):
        raise TemplateTooLarge(f"a format that is wider than {MAX_PADDING - 1}, or as wide as a value says")
    _limited(len(text) + text.count(mark) * (_size(values) if not isinstance(values, int | float) else 0))


def _checked_arguments(owner: str, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of a method of text. Raises TemplateTooLarge where the result would be too large."""
    values = (*args, *kwargs.values())
    if method in _PADDING_METHODS and any(isinstance(each, int) and each > MAX_PADDING for each in values):
        raise TemplateTooLarge(f"a width of more than {MAX_PADDING}")
    if method == "replace" and len(args) >= 2 and isinstance(args[0], str) and isinstance(args[1], str):
        _limited(len(owner) + owner.count(args[0]) * len(args[1]))
    if method == "join" and len(args) == 1:
        parts = list(args[0])
        _limited(_size(parts) + len(owner) * len(parts))
        return (parts,)
    if method == "format":
        _check_format(owner, "{", values)
    return args


# Filters and functions.


def _narrow(width: Any) -> None:
    if (isinstance(width, int) and width > MAX_PADDING) or (isinstance(width, str) and len(width) > MAX_PADDING):
        raise TemplateTooLarge(f"a width of more than {MAX_PADDING}")


def _center(value: str, width: int = 80) -> Any:
    _narrow(width)
    return FILTERS["center"](value, width)


def _indent(value: str, width: int | str = 4, *args: Any, **kwargs: Any) -> Any:
    _narrow(width)
    _limited(len(value) + (value.count("\n") + 1) * (len(width) if isinstance(width, str) else width))
    return FILTERS["indent"](value, width, *args, **kwargs)


def _format(value: str, *args: Any, **kwargs: Any) -> Any:
    _check_format(str(value), "%", args or dict(kwargs))
    return FILTERS["format"](value, *args, **kwargs)


@pass_eval_context
def _replace(eval_ctx: EvalContext, value: Any, old: str, new: str, count: int | None = None) -> Any:
    text = str(value)
    _limited(len(text) + text.count(str(old)) * len(str(new)))
    return FILTERS["replace"](eval_ctx, value, old, new, count)


@pass_eval_context
def _join(eval_ctx: EvalContext, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> Any:
    parts = list(value)
    _limited(_size(parts) + len(str(d)) * len(parts))
    return FILTERS["join"](eval_ctx, parts, d, attribute)


def _round(value: float, precision: int = 0, *args: Any, **kwargs: Any) -> Any:
    if abs(precision) > 20:
        raise TemplateTooLarge("a precision of more than 20 digits")
    return FILTERS["round"](value, precision, *args, **kwargs)


@pass_environment
def _sum(
    environment: Environment, iterable: Iterable[Any], attribute: str | int | None = None, start: float = 0
) -> Any:
    if not isinstance(start, int | float):
        raise TemplateRuntimeError("sum adds numbers; join puts texts together")
    return FILTERS["sum"](environment, iterable, attribute, start)


def _list(value: Any) -> list[Any]:
    values = list(value)
    _limited(_size(values))
    return values


@pass_context
def _map(context: Context, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    """As Jinja2's, but each item counts as a turn, and what is made of it as text."""
    budget = _budget.get()
    for item in FILTERS["map"](context, value, *args, **kwargs):
        budget.turn()
        budget.write(_size(item))
        yield item


_BOUNDED_FILTERS: Mapping[str, Callable[..., Any]] = {
    "center": _center,
    "indent": _indent,
    "format": _format,
    "replace": _replace,
    "join": _join,
    "round": _round,
    "sum": _sum,
    "list": _list,
    "map": _map,
}


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise TemplateTooLarge(f"a range of more than {MAX_RANGE} numbers")
    return numbers


def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    made = dict(*args, **kwargs)
    _limited(_size(made))
    return made


class _Namespace(Namespace):
    """As Jinja2's; printed, it does not show what is in it, which may be another one."""

    def __repr__(self) -> str:
        return "<namespace>"
