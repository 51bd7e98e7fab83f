"""GB/T 2260 divisions, coordinates, distance."""
