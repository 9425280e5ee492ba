"""The command line: `python -m simclr COMMAND`."""
