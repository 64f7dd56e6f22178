"""A run -> what people and programs read: HTML, JSON, the terminal; and the catalogue as text.

Everything that comes from a host is hostile text here. Nothing here judges.
"""
