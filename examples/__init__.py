"""Back ends that call kbfleet: docs/calling.md."""
