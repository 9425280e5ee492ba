"""Near copies of training images among test images: found for a run, and planted to see how many are found."""
