"""How fast the service is, as ratios to what cannot be done without: ``python -m tests.benchmarks --help``."""
