"""Charts: one metric of one entity over time, with its limits and alerts, as text and as a picture."""
