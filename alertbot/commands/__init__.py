"""PURE: what people ask. The text after the slash, and the answers."""
