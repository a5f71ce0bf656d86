"""SHELL: what we remember."""
