"""What each part costs, compared with other implementations."""
