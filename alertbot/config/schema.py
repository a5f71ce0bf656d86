"""JSON Schema of alertbot.yaml, for editors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from alertbot.config.settings import Settings
from alertbot.rulefiles.fields import DURATION_SCHEMA
from alertbot.rules.units import write_duration


def config_schema() -> dict[str, Any]:
    """JSON Schema of alertbot.yaml, for editors."""
    schema: dict[str, Any] = _spelt(Settings.model_json_schema())
    schema["properties"].pop("folder", None)
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "alertbot.yaml"}


def _spelt(node: Any) -> Any:
    """The schema with default durations as in alertbot.yaml; pydantic writes them as ISO 8601, PT1M."""
    if isinstance(node, list):
        return [_spelt(each) for each in node]
    if not isinstance(node, dict):
        return node
    spelt = {key: _spelt(each) for key, each in node.items() if key != "title" or not isinstance(each, str)}
    if spelt.get("pattern") == DURATION_SCHEMA["pattern"] and "default" in spelt:
        spelt["default"] = write_duration(TypeAdapter(timedelta).validate_python(spelt["default"]))
    return spelt
