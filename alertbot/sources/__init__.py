"""SHELL: where samples come from."""
