"""Reports: a frozen payload, and its rendering in either language. Charts are shared with the pages of the service."""
