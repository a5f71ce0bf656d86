"""PURE: what a rule turns into. Snapshots, verdicts, alert states and who is told."""
