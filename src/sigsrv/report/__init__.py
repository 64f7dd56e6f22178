"""Run -> HTML, JSON and terminal output. Catalogue -> text and Markdown.

All text from a host is hostile: it is escaped before it is shown. This package decides no verdict.
"""
