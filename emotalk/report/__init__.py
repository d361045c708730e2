"""Reports: HTML pages, figures and tables about data and results."""
