"""The chain over the audit log, and reading it."""
