"""The commands ``sigsrv`` and ``sigsrv-remediate``: arguments in, calls, output and exit status.

Each subcommand is a file, loaded when it is called. Nothing here decides a verdict or changes a host.
"""
