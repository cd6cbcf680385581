"""`kbfleet`, the operator's command line."""
