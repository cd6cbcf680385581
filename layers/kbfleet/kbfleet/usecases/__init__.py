"""What kbfleet does, in terms of its ports."""
