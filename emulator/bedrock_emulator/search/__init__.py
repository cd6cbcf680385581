"""Chunks are embedded, found for a question, and made into an answer."""
