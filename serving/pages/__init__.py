"""Pages for people: the demo, the replay, and what the service shows in a browser. Server-rendered, no script."""
