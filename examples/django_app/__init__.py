"""A Django app whose users sign in with Django itself. See docs/calling.md."""
