"""``pytest checks``: one test shows one policy on one host, or on the cluster.

pytest's side of a scan alone. It is loaded where it is asked for, by conftest.py or ``sigsrv pytest``, never by itself.
"""
