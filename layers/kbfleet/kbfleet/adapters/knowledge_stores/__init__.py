"""One file a knowledge store. `bootstrap.KNOWLEDGE_STORES` is the registry."""
