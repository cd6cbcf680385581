"""A module that functions find in the layer only."""


def greet(name: str) -> str:
    """A greeting."""
    return f"hello {name}"
