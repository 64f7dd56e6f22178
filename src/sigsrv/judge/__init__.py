"""Policies x facts -> findings: what a check is, how it records, and how all policies are evaluated and selected.

Pure: no host, no clock. What a single policy looks at is not here, but in the folder ``checks``.
"""
