"""Facts -> a drafted site file, which a person corrects (``sigsrv init``).

A draft describes the current state, never the desired one. ``model`` loads site files.
"""
