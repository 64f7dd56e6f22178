"""The pytest plugin behind ``pytest checks``: one test shows one policy on one host, or on the cluster.

conftest.py or ``sigsrv pytest`` loads the plugin. Other pytest runs do not load it.
"""
