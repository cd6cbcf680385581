"""Whether AWS is as kbfleet takes it to be, tried on a deployed stack with tenants of its own: `kbfleet verify`.

`facts` says what is expected, `story` and `probes` observe it through `under_test`, `run` puts them in order and cleans
up, `report` writes down what was observed and reads it back.
"""
