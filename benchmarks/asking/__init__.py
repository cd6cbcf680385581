"""Asking: what the function adds to Bedrock's own time, and how it bears many askers at once."""
