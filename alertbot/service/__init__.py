"""The running bot: how its parts are made, started, woken and stopped."""
