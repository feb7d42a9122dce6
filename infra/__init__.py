"""Adapters, processes and the command line: the only layer that touches the machine."""
