"""One file an alert channel."""
