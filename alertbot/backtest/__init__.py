"""PURE: many polls at once: replay, its episodes, rule tests, samples."""
