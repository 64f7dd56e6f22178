"""Applies fixes: plan, host lock, journal, rollback timer, script, verification on fresh facts, confirmation or undo.

Only this package changes a host. The scripts themselves are in the folder ``remediations``.
"""
