"""Estimates of the tokens of a text, for services whose tokenizer is not on this machine."""
