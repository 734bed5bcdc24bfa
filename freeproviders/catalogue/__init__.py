"""Services and models as dated, sourced rows of data."""
