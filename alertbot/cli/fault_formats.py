"""Findings as other programs read them: JSON, GitHub's annotations, SARIF."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from alertbot import __version__
from alertbot.rulefiles.faults import Fault, Severity


class Format(StrEnum):
    """How `check` prints its findings."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


def fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "rule": fault.rule,
        "message": fault.message,
        "hint": fault.hint,
        "severity": str(fault.severity),
    }


def written(faults: Sequence[Fault], form: Format) -> str:
    """All findings in a form other than text, with a line break at the end unless it is empty."""
    if form is Format.GITHUB:
        return "".join(f"{_annotation(fault)}\n" for fault in faults)
    value: Any = _sarif(faults) if form is Format.SARIF else [fault_json(fault) for fault in faults]
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


# https://docs.github.com/actions/reference/workflow-commands-for-github-actions

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "notice"}


def _annotation(fault: Fault) -> str:
    """`::error file=rules/queues.yaml,line=14,col=11::unknown key`, shown beside that line of a pull request."""
    properties = {"file": fault.file, "line": fault.line, "col": fault.column}
    shown = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items() if value)
    return f"::{_COMMANDS[fault.severity]} {shown}::{_escaped(_sentence(fault))}"


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _sentence(fault: Fault) -> str:
    rule = f"rule {fault.rule}: " if fault.rule else ""
    return f"{rule}{fault.message}{f' ({fault.hint})' if fault.hint else ''}"


# https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "note"}


def _sarif(faults: Sequence[Fault]) -> dict[str, Any]:
    about = {
        Severity.ERROR: "A fault: the rule, test or template cannot be loaded.",
        Severity.WARNING: "Valid, and almost certainly a mistake.",
        Severity.HINT: "Valid, and worth knowing.",
    }
    rules = [{"id": str(severity), "shortDescription": {"text": text}} for severity, text in about.items()]
    run = {
        "tool": {"driver": {"name": "alertbot", "version": __version__, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(fault) for fault in faults],
    }
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _result(fault: Fault) -> dict[str, Any]:
    # Not quote(fault.file): the name of a file need not be UTF-8.
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(os.fsencode(fault.file))}}
    if fault.line:
        place["region"] = {"startLine": fault.line, **({"startColumn": fault.column} if fault.column else {})}
    return {
        "ruleId": str(fault.severity),
        "level": _LEVELS[fault.severity],
        "message": {"text": _sentence(fault)},
        "locations": [{"physicalLocation": place}],
    }
