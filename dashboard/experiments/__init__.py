"""The page of groups of runs: questions that several runs answer together."""
