"""JSON Schema of alertbot.yaml, for editors."""

from __future__ import annotations

import ast
import inspect
from datetime import timedelta
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from alertbot.config import settings
from alertbot.rulefiles.fields import ANCHOR_PREFIX, DURATION_SCHEMA
from alertbot.rules.units import write_duration

REFERENCE = {"type": "string", "pattern": r"\$\{"}
"""A value with a reference in it: what it becomes is not known before it is read."""


def config_schema() -> dict[str, Any]:
    """JSON Schema of alertbot.yaml, for editors."""
    schema: dict[str, Any] = _spelt(_described(settings.Settings.model_json_schema()))
    schema["properties"].pop("folder", None)
    schema["patternProperties"] = {f"^{ANCHOR_PREFIX}": {}}
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "alertbot.yaml"}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what the docstring below each setting says as its description."""
    sections = {"Settings": schema, **schema["$defs"]}
    for section in ast.parse(inspect.getsource(settings)).body:
        if not isinstance(section, ast.ClassDef) or section.name not in sections:
            continue
        for setting, below in pairwise(section.body):
            match setting, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=key)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ) if (about := sections[section.name]["properties"].get(key)) is not None:
                    of_section = sections.get(about.get("$ref", "").rpartition("/")[2], {})
                    if text != of_section.get("description"):  # an editor shows that anyway
                        about["description"] = inspect.cleandoc(text)
    return schema


def _spelt(node: Any) -> Any:
    """pydantic's schema as the file is written.

    Durations are spelt 1m and not PT1M, and a value that is no free text may be a reference, or a number in quotes.
    """
    if isinstance(node, list):
        return [_spelt(each) for each in node]
    if not isinstance(node, dict):
        return node
    spelt = {key: _spelt(each) for key, each in node.items() if key != "title" or not isinstance(each, str)}
    if spelt.get("pattern") == DURATION_SCHEMA["pattern"] and "default" in spelt:
        spelt["default"] = write_duration(TypeAdapter(timedelta).validate_python(spelt["default"]))
    if not _is_restricted(spelt):
        return spelt
    about = {key: spelt.pop(key) for key in ("description", "default") if key in spelt}
    numbers = [{"type": "string", "pattern": r"^\s*[0-9]+\s*$"}] if spelt.get("type") == "integer" else []
    return {"anyOf": [spelt, *numbers, REFERENCE], **about}


def _is_restricted(schema: dict[str, Any]) -> bool:
    """Whether it describes a single value that is no free text."""
    kind = schema.get("type")
    return "enum" in schema or kind in ("integer", "number", "boolean") or (kind == "string" and "pattern" in schema)
