"""The verbs of `kbfleet`, a module a group. Each exports `app`, which `cli.main` puts together."""
