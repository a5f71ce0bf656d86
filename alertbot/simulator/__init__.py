"""A contact centre that does not exist: a seeded model of callers and agents, and 8x8's API over it.

Start at `server.serve`; `model.Centre` is the model alone. The order of imports: history, entities, layout, floor, model,
metrics, then wire, faults, endpoints, api, scenario, server.
"""
