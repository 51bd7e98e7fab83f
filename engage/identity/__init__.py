"""People, WeChat login, sessions and tokens."""
