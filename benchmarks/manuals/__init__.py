"""How well the emulator finds what stands in long manuals: those that Debian packages, in Japanese and English."""
