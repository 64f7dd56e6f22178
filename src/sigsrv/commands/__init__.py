"""The commands ``sigsrv`` and ``sigsrv-remediate``: they parse arguments, call the packages below, print and set the exit status.

Each subcommand is a file that is imported when the user calls it. This package decides no verdict and changes no host.
"""
