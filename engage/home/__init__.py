"""The first screen in one response."""
