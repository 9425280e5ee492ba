"""Tables of runs: figures and options as columns, a filter that is typed, groups of rows, and views that are kept."""
