"""What a fleet costs: prices of AWS, a workload, and what the one makes of the other. `kbfleet costs` prints it."""
