"""Organisation tree, clusters, roles and memberships."""
