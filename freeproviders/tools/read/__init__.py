"""Reading what a model wrote: text, thinking, calls and objects, however it is cut. No I/O."""
