"""Contains the data that the other folders share: policies, site, waivers, remediations, findings and errors.

Frozen dataclasses and the functions that load their files. Does not contact hosts, evaluate policies or print.
"""
