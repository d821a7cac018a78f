"""Models of compliance: none yet."""
