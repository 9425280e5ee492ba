"""A report: what runs and groups say, as one HTML file that needs neither server nor network (torch only for views)."""
