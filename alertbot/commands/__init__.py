"""PURE: questions and answers. The text after the slash command, and what is answered."""
