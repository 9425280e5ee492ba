"""A folder of image files as a data set."""
