"""Gateway to WeChat, and the local fake of it."""
