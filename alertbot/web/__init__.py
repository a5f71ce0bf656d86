"""SHELL: HTTP in, and Socket Mode beside it."""
