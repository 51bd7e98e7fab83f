"""Reads of the organisation tree, clusters, roles and permissions."""
