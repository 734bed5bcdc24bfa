"""How models write tool calls: a file for each dialect, with its reader and its writer."""
