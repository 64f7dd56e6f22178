"""Facts -> a site file for a person to correct (``sigsrv init``).

What was found, never what is right. Loading a site file is not here, but in ``model``.
"""
