"""PURE: what ops wrote. Rules, the condition language and the catalogue of metric keys."""
