"""How good the trained network is, beside baselines, and the page that shows it."""
