"""API keys: how those who hold a role let scripts of theirs read."""
