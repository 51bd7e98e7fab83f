"""Web pages: API documentation, log-in by QR code and health."""
