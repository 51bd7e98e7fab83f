"""Youth homes, youth stations and other places: position, opening hours, services."""
