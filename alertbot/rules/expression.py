"""The condition language: text to a typed tree, with units checked.

Two steps. Lark parses the text by the grammar in `expression.lark` (LALR, so the time is linear in the length); then
`_Builder` walks Lark's tree, looks every key up in the catalogue, and builds the typed tree of `tree.py`. Which types
may stand beside each other is `value_types.py`.

- **Mistakes.** A text that cannot be parsed has one: LALR stops at the first token it does not expect, and
  `_syntax_mistake` turns that position into a sentence, helped by a table of common habits (`=`, `&&`, `'…'`). A text
  that parses has all of its type errors: the builder does not stop at one, but returns None for the part that is wrong,
  and whatever contains a None adds no error of its own.
- **Unknown keys.** With `known: false` a key may be missing from the catalogue. Its type then comes from what it is
  compared with, and that may stand to its right, so one pass is not enough: the first pass collects the types it can
  infer, a second pass builds with them.
- **The trap.** Every reader of a tree (evaluate, explain, ranges, show) recurses over it. A condition of 10,000 nested
  parentheses would exhaust Python's stack in whichever of them came first, so length and depth are limited here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from alertbot.errors import BadExpression
from alertbot.rules import grammar_table
from alertbot.rules.catalogue import Catalogue, Scope, ValueType, catalogue
from alertbot.rules.functions import AGENTS_OF, ALSO_CALLED, FUNCTIONS, Function
from alertbot.rules.plain import INVISIBLE, invisible_name
from alertbot.rules.tree import (
    USUAL,
    WEEK,
    And,
    Arithmetic,
    Compare,
    Condition,
    Count,
    In,
    IsMissing,
    Key,
    Literal,
    Node,
    Not,
    Op,
    Or,
    Param,
    Span,
    Value,
    Window,
    keys_of,
    show,
    walk,
)
from alertbot.rules.units import MAX_DURATION, TOO_LONG, parse_number, too_long, write_duration
from alertbot.rules.value_types import Refusal, arithmetic_type, comparison_refusal, named
from alertbot.rules.words import listed, nearest

__all__ = [
    "FUNCTIONS",
    "And",
    "Arithmetic",
    "Compare",
    "Condition",
    "Count",
    "In",
    "IsMissing",
    "Key",
    "Literal",
    "Node",
    "Not",
    "Op",
    "Or",
    "Param",
    "Span",
    "Value",
    "Window",
    "keys_of",
    "parse",
    "show",
    "walk",
]

# Far above what is written by hand, and far below what recursion can handle.
MAX_LENGTH = 4_000
MAX_DEPTH = 60

_CONDITIONS = frozenset({"any_of", "all_of", "negate", "compare", "is_missing", "is_in", "is_not_in"})


def parse(text: str, scope: Scope, params: Mapping[str, Literal], known: bool = True) -> Condition:
    """Read a condition over the entities of `scope`.

    Spans in the tree are offsets into `text`. `known` False allows keys that the catalogue does not have; such a key
    takes its type from what it is compared with, and is a plain number otherwise. Raises BadExpression with every
    mistake when the text is not a condition: one for a text that does not parse, else all of its type errors.
    """
    if not text.strip():
        raise BadExpression([Mistake(0, len(text), "an empty condition", "write one such as entered.today > 5")])
    if len(text) > MAX_LENGTH:
        raise BadExpression([Mistake(0, len(text), f"a condition of more than {MAX_LENGTH} characters")])
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        raise BadExpression([_syntax_mistake(text, error)]) from None
    if _depth(tree) > MAX_DEPTH:
        raise BadExpression([Mistake(0, len(text), f"a condition nested more than {MAX_DEPTH} levels deep")])
    builder = _Builder(text, scope, params, known, {})
    condition = builder.condition(_only(tree))
    if builder.found:
        # The types of the unknown keys are known only now: build again with them.
        builder = _Builder(text, scope, params, known, builder.found)
        condition = builder.condition(_only(tree))
    if builder.mistakes or condition is None:
        raise BadExpression(builder.mistakes)
    return condition


@cache
def _lark() -> Lark:
    folder = resources.files("alertbot.rules")
    texts = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("expression.lark", grammar_table.FILE))
    return grammar_table.parser(*texts)


def _depth(tree: Tree[Token]) -> int:
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in node.children if isinstance(child, Tree))
    return deepest


def _only(tree: Tree[Token]) -> Tree[Token]:
    child = tree.children[0]
    assert isinstance(child, Tree)
    return child


class _Builder:
    """Builds the typed tree and collects mistakes. A part that is wrong is None; its parent then reports nothing."""

    def __init__(
        self,
        text: str,
        scope: Scope,
        params: Mapping[str, Literal],
        known: bool,
        inferred: Mapping[tuple[Scope, str], ValueType],
    ) -> None:
        self.text = text
        self.scope = scope
        self.params = params
        self.known = known
        self.inferred = inferred
        self.catalogue: Catalogue = catalogue()
        self.mistakes: list[Mistake] = []
        self.found: dict[
            tuple[Scope, str], ValueType
        ] = {}  # types of unknown keys, inferred from what they are compared with

    def condition(self, tree: Tree[Token]) -> Condition | None:
        span = _span(tree)
        match tree.data:
            case "any_of" | "all_of":
                parts = [self.condition(child) for child in _trees(tree)]
                kept = tuple(part for part in parts if part is not None)
                if len(kept) < len(parts):
                    return None
                return Or(kept, span) if tree.data == "any_of" else And(kept, span)
            case "negate":
                operand = self.condition(_only(tree))
                return None if operand is None else Not(operand, span)
            case "compare":
                return self.comparison(tree)
            case "is_missing":
                return self.missing(tree)
            case "is_in" | "is_not_in":
                return self.membership(tree)
        value = self.value(tree)
        if value is not None:
            written = self.written(span)
            hint = f"compare it, as in {written} {_example(value)}"
            self.refuse(span, f"{written} is {named(value.type)}, not a condition", hint)
        return None

    def comparison(self, tree: Tree[Token]) -> Condition | None:
        sides = _trees(tree)
        operators = [child for child in tree.children if isinstance(child, Token)]
        if len(operators) > 1:
            first, second, third = (self.written(_span(side)) for side in sides[:3])
            hint = f"write {first} {operators[0]} {second} and {second} {operators[1]} {third}"
            self.refuse(_span(tree), "two comparisons in a row", hint)
            return None
        op = Op(operators[0])
        left, right = self.pair(sides)
        if left is None or right is None:
            return None
        refusal = comparison_refusal(op, left, right, self.spell)
        if refusal is None:
            return Compare(op, left, right, _span(tree))
        self.refuse(_span(tree) if refusal.at is None else refusal.at.span, refusal.message, refusal.hint)
        return None

    def missing(self, tree: Tree[Token]) -> Condition | None:
        inner = _trees(tree)[0]
        if inner.data != "key":
            self.refuse(_span(inner), f"{self.written(_span(inner))} is missing: only a metric key can be missing")
            return None
        key = self.value(inner)
        negated = any(isinstance(child, Token) for child in tree.children)
        return IsMissing(key, negated, _span(tree)) if isinstance(key, Key) else None

    def membership(self, tree: Tree[Token]) -> Condition | None:
        first, *rest = _trees(tree)
        left = self.value(first)
        if tree.data == "is_not_in":
            written = self.written(_span(tree))
            plain = re.sub(r"\bnot\s+in\b", "in", written, count=1)
            self.refuse(_span(tree), "there is no `not in`", f"write not {plain}")
            return None
        if not rest:
            self.refuse(_span(tree), "an empty list: it matches nothing", 'write the choices, as in ["A", "B"]')
            return None
        self.infer(left, ValueType.TEXT)
        if left is not None and left.type is not ValueType.TEXT and not self.pending(left):
            message = f"{self.spell(left)} is {named(left.type)}, and `in` works on text only"
            self.refuse(left.span, message, "compare with == and join with or")
            return None
        choices = [choice for each in rest if (choice := self.choice(each)) is not None]
        if left is None or len(choices) < len(rest):
            return None
        return In(left, tuple(choices), _span(tree))

    def choice(self, tree: Tree[Token]) -> Literal | None:
        """One text of a list."""
        value = self.value(tree) if tree.data == "text" else None
        if isinstance(value, Literal):
            return value
        written = self.written(_span(tree))
        self.refuse(_span(tree), f"{written} is not text", f'write "{written}"')
        return None

    def value(self, tree: Tree[Token]) -> Value | None:
        span = _span(tree)
        match tree.data:
            case "arithmetic":
                left, right = self.pair(_trees(tree))
                if left is None or right is None:
                    return None
                op = Op(str(tree.children[1]))
                kind = arithmetic_type(op, left, right, self.spell)
                if isinstance(kind, Refusal):
                    self.refuse(span if kind.at is None else kind.at.span, kind.message, kind.hint)
                    return None
                return Arithmetic(op, left, right, kind, span)
            case "number":
                return self.number(tree)
            case "text":
                return Literal(re.sub(r"\\(.)", r"\1", str(tree.children[0])[1:-1]), ValueType.TEXT, span)
            case "key":
                return self.key(str(tree.children[0]), span)
            case "param":
                return self.param(str(tree.children[0])[1:], span)
            case "call":
                return self.call(tree)
        if self.condition(tree) is not None:
            self.refuse(span, f"{self.written(span)} is a condition, not a value", "join conditions with and, or, not")
        return None

    def pair(self, sides: list[Tree[Token]]) -> tuple[Value | None, Value | None]:
        """Two sides that must have one type, so the type of an unknown one follows from the other."""
        quoted = self.unquoted(sides)
        if quoted:
            return None, None
        left, right = (self.value(side) for side in sides)
        if left is not None and right is not None:
            self.infer(left, right.type)
            self.infer(right, left.type)
        return left, right

    def unquoted(self, sides: list[Tree[Token]]) -> bool:
        """`status.rt == OnBreak`: the word is meant as text."""
        for one, other in (sides, sides[::-1]):
            metric = self.catalogue.lookup(self.scope, str(one.children[0])) if one.data == "key" else None
            if metric is None or metric.type is not ValueType.TEXT or other.data != "key":
                continue
            word = str(other.children[0])
            if "." not in word:
                self.refuse(_span(other), f"{word} needs quotes", f'write "{word}"')
                return True
        return False

    def infer(self, value: Value | None, kind: ValueType) -> None:
        """Remember the type of what an unknown key is compared with, where it is more specific than a number."""
        if isinstance(value, Window) and value.type is value.key.type:
            value = value.key
        if isinstance(value, Key) and self.pending(value) and kind not in (ValueType.NUMBER, ValueType.COUNT):
            self.found.setdefault((self.scope, value.key), kind)

    def pending(self, value: Value) -> bool:
        """Whether it is an unknown key whose type is not inferred yet."""
        return (
            isinstance(value, Key)
            and (self.scope, value.key) not in self.inferred
            and self.catalogue.lookup(self.scope, value.key) is None
        )

    def number(self, tree: Tree[Token]) -> Value | None:
        sign, token = tree.children
        number = parse_number(str(token))
        if number is None:
            self.refuse(_span(tree), f"{token} is neither a number, a duration nor a ratio", _respelt(str(token)))
            return None
        value, kind = number
        if too_long(value, kind):
            limit = f"write at most {write_duration(MAX_DURATION)}"
            self.refuse(_span(tree), f"{token} is {TOO_LONG}", limit)
            return None
        return Literal(-value if sign == "-" else value, kind, _span(tree))

    def key(self, key: str, span: Span) -> Value | None:
        metric = self.catalogue.lookup(self.scope, key)
        if metric is not None:
            return Key(key, metric.type, span)
        if not self.known and "." in key:
            return Key(key, self.inferred.get((self.scope, key), ValueType.NUMBER), span)
        self.refuse(span, *unknown_key(self.catalogue, self.scope, key))
        return None

    def param(self, name: str, span: Span) -> Value | None:
        literal = self.params.get(name)
        if literal is not None:
            return Param(name, literal.type, span)
        near = nearest(name, self.params)
        hint = f"did you mean ${near[0]}?" if near else f"add params: {{{name}: …}} to the rule"
        self.refuse(span, f"there is no parameter ${name}", hint)
        return None

    def call(self, tree: Tree[Token]) -> Value | None:
        name = str(tree.children[0]).rstrip("( \t\r\n")
        function = FUNCTIONS.get(name)
        if function is None:
            near = [ALSO_CALLED[name.casefold()]] if name.casefold() in ALSO_CALLED else nearest(name, FUNCTIONS)
            hint = f"did you mean {near[0]}?" if near else f"the functions are {listed(list(FUNCTIONS))}"
            self.refuse(_span(tree), f"unknown function {name}(…)", hint)
            return None
        arguments = _trees(tree)
        if name == "count":
            return self.count(tree, arguments)
        return self.window(function, tree, arguments)

    def window(self, function: Function, tree: Tree[Token], arguments: list[Tree[Token]]) -> Value | None:
        """`avg(KEY, 10m)`"""
        usage = f"such as {function.example}"
        for argument in arguments:
            if len(_trees(argument)) > 1:
                self.refuse(_span(argument), f"{function.name} does not take `where`", usage)
                return None
        if len(arguments) != 2:
            self.refuse(_span(tree), f"{function.name} takes a metric key and a window", usage)
            return None
        of, over = (_only(argument) for argument in arguments)
        if of.data != "key":
            message = f"{function.name} takes one metric key, not {self.written(_span(of))}"
            self.refuse(_span(of), message, usage)
            key = None
        else:
            key = self.value(of)
        length = self.length(over, weeks=function.name == USUAL)
        if not isinstance(key, Key) or length is None:
            return None
        kind = function.types.get(key.type)
        if kind is None:
            able = [each.name for each in FUNCTIONS.values() if key.type in each.types]
            message = f"{key.key} is {named(key.type)}, which {function.name} does not accept"
            self.refuse(key.span, message, f"{listed(able)} {'accepts' if len(able) == 1 else 'accept'} it")
            return None
        return Window(function.name, key, length, kind, _span(tree))

    def length(self, tree: Tree[Token], *, weeks: bool) -> float | None:
        """The length of a window, in ms; `weeks`: it must be a number of whole weeks."""
        literal = self.number(tree) if tree.data == "number" else None
        if isinstance(literal, Literal) and isinstance(literal.value, float):
            if literal.type is ValueType.DURATION and literal.value > 0:
                if not weeks or literal.value % WEEK == 0:
                    return literal.value
                hint = f"usual takes whole weeks: write {max(1, round(literal.value / WEEK))}w"
                self.refuse(_span(tree), f"{self.written(_span(tree))} is not a number of weeks", hint)
                return None
            if literal.type is ValueType.NUMBER and literal.value > 0:
                written = self.written(_span(tree))
                instead = f"write {written}w" if weeks else f"write {written}m or {written}s"
                self.refuse(_span(tree), f"{written} is not a window", f"a duration: {instead}")
                return None
        elif tree.data == "number":
            return None  # reported above: it is not a number at all
        example = "a number of weeks such as 4w" if weeks else "a duration such as 10m"
        self.refuse(_span(tree), f"{self.written(_span(tree))} is not a window", example)
        return None

    def count(self, tree: Tree[Token], arguments: list[Tree[Token]]) -> Value | None:
        """`count(agents where …)`"""
        usage = f"such as {FUNCTIONS['count'].example}"
        parts = _trees(arguments[0]) if len(arguments) == 1 else []
        if len(parts) != 2 or parts[0].data != "key" or str(parts[0].children[0]) != "agents":
            self.refuse(_span(tree), "count takes `agents where` and a condition", usage)
            return None
        agents = AGENTS_OF.get(self.scope)
        if agents is None:
            message = f"count(agents …) works in the scopes {listed([str(each) for each in AGENTS_OF])}"
            self.refuse(_span(tree), message, f"a rule of scope {self.scope} has no agents to count")
            return None
        outside, self.scope = self.scope, agents
        where = self.condition(parts[1])
        self.scope = outside
        return None if where is None else Count(where, agents, _span(tree))

    def written(self, span: Span) -> str:
        return self.text[span.start : span.end]

    def spell(self, node: Node) -> str:
        return self.written(node.span)

    def refuse(self, span: Span, message: str, hint: str = "") -> None:
        self.mistakes.append(Mistake(span.start, span.end, message, hint))


def _trees(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _span(tree: Tree[Token]) -> Span:
    return Span(tree.meta.start_pos, tree.meta.end_pos)


def _example(value: Value) -> str:
    return {
        ValueType.DURATION: "> 60s",
        ValueType.RATIO: "> 80%",
        ValueType.TEXT: '== "Available"',
    }.get(value.type, "> 5")


def _respelt(token: str) -> str:
    """The likely meaning of a number with an unknown unit."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)_?([A-Za-z]+|%)", token)
    units = {
        "msec": "ms",
        "millis": "ms",
        "sec": "s",
        "min": "m",
        "hour": "h",
        "hr": "h",
        "day": "d",
        "week": "w",
        "wk": "w",
        "pct": "%",
        "%": "%",
    }
    if match:
        amount, unit = match.groups()
        for spelling, unit_here in [*units.items(), *((each, each) for each in ("ms", "s", "m", "h", "d", "w"))]:
            if unit.casefold().startswith(spelling):
                return f"write {amount}{unit_here}"
    return "write 3, 2.5, 85%, 250ms, 120s, 1m30s or 2h"


def unknown_key(known: Catalogue, scope: Scope, key: str) -> tuple[str, str]:
    """Message and hint for a key that this scope does not have."""
    message = f'unknown key "{key}" for scope {scope}'
    elsewhere = known.scopes_of(key)
    if elsewhere:
        have = "has" if len(elsewhere) == 1 else "have"
        return message, f"{listed([str(each) for each in elsewhere])} {have} it, {scope} does not"
    periods = [each for each in known.metrics[scope] if each.startswith(f"{key}.")]
    if "." not in key and periods:
        return message, f"which period? {listed(periods, 'or')}"
    near = known.nearest(scope, key)
    return message, f'did you mean "{near}"?' if near else f"`alertbot metrics --scope {scope}` lists them"


# Common habits from other languages, and how they are written here. Tried where parsing stopped, and one before.
_HABITS = (
    (r"===?|=(?![<>=])", "=="),
    (r"=>", ">="),
    (r"=<", "<="),
    (r"<>", "!="),
    (r"&&?", "and"),
    (r"\|\|?", "or"),
    (r"!(?!=)", "not"),
    (r"≥", ">="),
    (r"≤", "<="),
    (r"≠", "!="),
    (r"[×]", "*"),
    (r"[÷:]", "/"),
    (r"[−–—]", "-"),
    (r"'[^']*'", ""),
    (r"[“”„«»‘’]", '"'),
    (r"\.[0-9]", "0.5"),
)


def _syntax_mistake(text: str, error: UnexpectedInput) -> Mistake:
    """A sentence for the position at which parsing stopped."""
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    at = len(text.rstrip()) if ended else min(error.pos_in_stream or 0, len(text))
    if ended:
        return Mistake(at, at, "the condition ends too early", _wanted(error, text[:at], before_end=False))
    word = re.compile(r"[A-Za-z0-9_.$%]+|\S").match(text, at)
    found = word[0] if word else text[at : at + 1]
    end = at + len(found)
    if found == ")" and text[:at].count("(") <= text[:at].count(")"):
        return Mistake(at, end, "a ) without a (")
    if found == '"':
        return Mistake(at, len(text.rstrip()), 'text without its closing "')
    if found.startswith("$"):
        return Mistake(at, end, f"{found} is not a parameter", "write $name: letters, digits and _")
    if INVISIBLE.fullmatch(text[at : at + 1]):
        return Mistake(at, at + 1, invisible_name(text[at]), "write a space, or nothing")
    digits = re.search(r"[0-9]+$", text[:at])
    more = re.compile(r"[:,]([0-9]+(?::[0-9]+)?)").match(text, at)
    if digits and more:
        start, end = digits.start(), more.end()
        hint = f"write {int(digits[0])}m for minutes, or {int(digits[0])}h for hours"
        if text[at] == ",":
            thousands = len(more[1]) == 3 and digits[0] != "0"
            hint = f"write {digits[0]}{more[1]}" if thousands else f"write {digits[0]}.{more[1]}, with a point"
        return Mistake(start, end, f"{text[start:end]} is not a number", hint)
    for pattern, instead in _HABITS:
        for start in (at, max(0, at - 1)):
            habit = re.compile(pattern).match(text, start)
            if habit and habit.end() > at:
                hint = f"write {instead}" if instead else f'write "{habit[0][1:-1]}"'
                return Mistake(start, habit.end(), f"unexpected {habit[0]}", hint)
    if found.casefold() in ("and", "or", "not", "in", "is", "missing") and found != found.casefold():
        return Mistake(at, end, f"unexpected {found}", f"write {found.casefold()}, in lower case")
    before = re.search(r"[0-9.]+\s+$", text[:at])
    if before and re.fullmatch(r"(?:%|ms|[smhdw]|sec\w*|min\w*|hours?|days?|weeks?)", found):
        return Mistake(
            before.start(), end, f"{before[0]}{found} has a space before its unit", _respelt(before[0].strip() + found)
        )
    return Mistake(at, end, f"unexpected {found}", _wanted(error, text[:at]))


_VALUE_TOKENS = frozenset({"KEY", "NUMBER", "STRING"})


def _wanted(error: UnexpectedInput, before: str, *, before_end: bool = True) -> str:
    """What could stand where parsing stopped, in words."""
    if isinstance(error, UnexpectedToken):
        allowed = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        allowed = set(error.allowed or ())
    else:
        allowed = set()
    if "MISSING" in allowed:
        return "write is missing, or is not missing"
    if "LSQB" in allowed:
        return 'write a list: ["A", "B"]'
    if allowed & _VALUE_TOKENS:
        return "write a metric key or a value"
    # A closing token makes sense only where something is open; the text shows that better than the parser's table.
    if "RSQB" in allowed and before.count("[") > before.count("]"):
        return "write a comma or the closing ]"
    if "RPAR" in allowed and before.count("(") > before.count(")"):
        return "write the closing )"
    if "COMPARE" in allowed:
        return "write an operator in between, such as > or and" if before_end else "compare it, as in > 5"
    return "join conditions with and, or" if "AND" in allowed else ""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a condition: 0-based offsets into its text, `end` exclusive."""

    start: int
    end: int
    message: str
    hint: str = ""  # what to write instead
