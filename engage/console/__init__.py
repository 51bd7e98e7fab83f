"""Web pages: API documentation and health."""
