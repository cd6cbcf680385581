"""What the emulator plays in: time, quotas, faults, roles, logs, and the records of what was made."""
