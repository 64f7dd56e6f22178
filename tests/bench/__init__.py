"""Measures how long sigsrv takes to judge a site, and how much memory it needs: ``python -m tests.bench``."""
