"""JSON Schema of alertbot.yaml, for editors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from alertbot.config.settings import Settings
from alertbot.rulefiles.fields import ANCHOR_PREFIX, DURATION_SCHEMA
from alertbot.rules.units import write_duration

REFERENCE = {"type": "string", "pattern": r"\$\{"}
"""A value with a reference in it: what it becomes is not known before it is read."""


def config_schema() -> dict[str, Any]:
    """JSON Schema of alertbot.yaml, for editors."""
    schema: dict[str, Any] = _spelt(Settings.model_json_schema())
    schema["properties"].pop("folder", None)
    schema["patternProperties"] = {f"^{ANCHOR_PREFIX}": {}}
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "alertbot.yaml"}


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
