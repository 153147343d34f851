"""What the `soms` commands do that speak to a running stack, one file a command. Declared, with their help, in `soms/__main__.py`."""
