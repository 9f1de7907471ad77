"""The HTTP service: parse, call the service, map the outcome; nothing is decided here."""
