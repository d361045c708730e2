"""The page in the browser on which one tries weights: `emotalk app`."""
