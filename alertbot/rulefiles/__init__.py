"""PURE (but for on_disk): how rules and rule tests are written."""
