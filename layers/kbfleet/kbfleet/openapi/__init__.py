"""The HTTP API as an OpenAPI document. Only the function that serves it imports this package: no other function's cold
start pays for it."""
