"""Many runs that answer one question: what differs among them, their start, and what they will cost."""
