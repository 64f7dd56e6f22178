"""Collects evidence from hosts: one login per host, one script with all probes, and the Incus API through pylxd.

Stores the raw answers (secrets redacted). Does not interpret them: ``facts`` does.
"""
