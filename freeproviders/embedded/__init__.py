"""A language model on this machine, run by llama.cpp in a child process.

Its weights are fetched once and known by their hash.
"""
