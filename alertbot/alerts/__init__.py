"""PURE: the life of an alert, and who is notified of it."""
