"""Tables of questions and of their answers: JSON lines, CSV, Parquet and plain text."""
