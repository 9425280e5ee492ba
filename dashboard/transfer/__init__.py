"""The page that judges encoders on several data sets."""
