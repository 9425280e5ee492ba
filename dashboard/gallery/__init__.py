"""All parts of pages in all their states: a page for those who change how something looks."""
