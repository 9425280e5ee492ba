"""The Streamlit dashboard over the run folders that `simclr` writes."""
