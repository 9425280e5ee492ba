"""Data sets: where images come from, how they are read, split, kept in memory and drawn from."""
