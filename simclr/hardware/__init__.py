"""Which devices this machine has, who uses them, and which processes live."""
