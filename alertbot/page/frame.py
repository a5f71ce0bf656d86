"""The frame of all pages: templates, stylesheet and script, and the headers of every response.

Templates escape all values. Nothing is loaded from other servers, and nothing is inline: the policy in HEADERS allows
styles, scripts and pictures only from this server, and no inline script. So a queue called `<script>` is harmless for
two reasons.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: browsers would then send `Origin: null` with the login form.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of every response, whatever its status."""
# A proxy must neither cache a page nor change its text, as some do to hide addresses or add scripts.
NEVER_KEPT: Mapping[str, str] = {"Cache-Control": "private, no-store, no-transform"}
KEPT: Mapping[str, str] = {"Cache-Control": "public, max-age=31536000, immutable, no-transform"}
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """A stylesheet, script or picture. `version` changes with its content."""

    content: bytes
    content_type: str
    version: str


class Frame:
    """Draws pages. Its templates and files are read once."""

    def __init__(self) -> None:
        self.assets = {
            path.name: Asset(path.read_bytes(), _TYPES[path.suffix], _version(path))
            for path in sorted((FOLDER / "static").iterdir())
            if path.suffix in _TYPES
        }
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["asset"] = self.link

    def link(self, name: str) -> str:
        """The address of a file in `static/`, with its version: browsers keep it until that changes."""
        return f"/static/{name}?v={self.assets[name].version}"

    def draw(self, template: str, values: Mapping[str, object]) -> str:
        """A page as HTML."""
        return self._environment.get_template(template).render(values)


def _version(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
