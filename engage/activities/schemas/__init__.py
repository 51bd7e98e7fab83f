"""JSON shapes of projects, activities, sign-ups, check-in and feedback."""
