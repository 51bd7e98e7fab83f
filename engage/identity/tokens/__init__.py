"""What proves who calls, without HTTP: the keys that sign access tokens, and the form of API keys."""
