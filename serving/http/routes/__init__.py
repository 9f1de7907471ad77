"""One module a group of routes; each endpoint parses, calls the service and hands back what it said."""
