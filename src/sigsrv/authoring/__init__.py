"""What whoever writes policies runs without a host: lint, the policies' own examples, and ``sigsrv policies try``.

The example document is here too. Nothing here runs in a scan.
"""
