"""The one guarded reader, and the one writer, of files that others may read or may have written."""
