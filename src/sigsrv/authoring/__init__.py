"""What the author of a policy runs without a host: lint, the examples, ``sigsrv policies try``, and the list of all facts.

The example document is here too. Nothing in this package runs in a scan.
"""
