"""A simulated contact centre: a seeded model of callers and agents, with 8x8's API on top of it.

Start at `server.serve`; `model.Centre` is the model alone. Each file imports only ones before it: history, entities,
layout, floor, model, metrics; then faults, wire, endpoints, api, scenario, server.
"""
