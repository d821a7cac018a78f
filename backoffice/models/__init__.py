"""Models of backoffice: none yet."""
