"""PURE: values in, verdicts out."""
