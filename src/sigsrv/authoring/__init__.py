"""Tools for policy authors that need no host: lint, the policies' examples, and ``sigsrv policies try``.

The example document is here too. Nothing in this package runs in a scan.
"""
