"""Hosts -> evidence: one login, one script of probes and the Incus API through pylxd, kept as it came.

Nothing here says what an answer means: that is ``facts``.
"""
