"""Findings -> fixes: planned, locked, journaled, armed, applied, verified on fresh facts, confirmed or undone.

Only here a host is changed. The scripts themselves are in the folder ``remediations``.
"""
