"""Routing: prices of places, decisions, rival policies, replay and off-policy estimates, all on arrays."""
