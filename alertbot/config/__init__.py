"""alertbot.yaml: its settings, how they are read, and their JSON Schema."""
