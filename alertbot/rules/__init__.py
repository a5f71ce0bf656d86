"""PURE: what a rule is: the condition language, calendars and the catalogue of metric keys."""
