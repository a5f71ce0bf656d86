"""A contact centre that does not exist: a seeded model of callers and agents, and 8x8's API over it.

Start at `server.serve`; `model.Centre` is the model alone. Each file imports only ones before it: history, entities,
layout, floor, model, metrics; then faults, wire, endpoints, api, scenario, server.
"""
