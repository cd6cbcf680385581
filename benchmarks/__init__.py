"""What kbfleet and its local AWS cost in time and memory, measured against targets."""
