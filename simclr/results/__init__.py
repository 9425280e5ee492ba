"""What runs say together: their index, curves, tables and statistics."""
