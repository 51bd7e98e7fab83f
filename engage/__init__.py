"""Youth engagement backend: hubs, activities, sign-up, check-in, enclave branches and figures."""
