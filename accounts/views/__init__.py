"""Pages about who someone is: sign in, sign up, sign out, profile."""
