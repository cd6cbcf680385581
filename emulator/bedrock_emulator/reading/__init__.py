"""Files become text, text becomes statements and chunks."""
