"""PURE: how one tenant's polls go, and what is done about it."""
