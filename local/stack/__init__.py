"""The server of the local AWS: its configuration, its process, and what it serves beside MiniStack."""
