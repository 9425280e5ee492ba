"""What each part costs, side by side with others."""
