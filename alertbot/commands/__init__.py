"""PURE: what people ask. The text after the slash command, and the answers."""
