"""Enclave branches and how migrant youth join them."""
