"""What is loaded and handed on: policies, the site, waivers, remediations, findings; and the errors that a user sees.

Plain frozen dataclasses and the loading of their files. Nothing here asks a host, judges or prints.
"""
