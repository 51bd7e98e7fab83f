"""Projects, activities, admission, waitlist, check-in, feedback."""
