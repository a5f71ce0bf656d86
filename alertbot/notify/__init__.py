"""SHELL: how people are told."""
