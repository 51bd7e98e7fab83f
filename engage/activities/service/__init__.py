"""Use cases of projects, activities, admission, check-in and feedback."""
