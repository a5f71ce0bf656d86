"""How people are notified: rendering and delivery, for any notifier."""
