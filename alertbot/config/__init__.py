"""alertbot.yaml: the settings, how they are read, and their JSON Schema."""
