"""Floor 4: command line, store, HTTP service, pages and reports. The only reader of environment and clock."""
