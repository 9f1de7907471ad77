"""Webhooks: what other systems are told as it happens, and what they send."""
