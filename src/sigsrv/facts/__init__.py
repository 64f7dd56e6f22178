"""Evidence -> facts: typed views of the links, pools, instances and the rest of one host, or of a cluster.

Pure functions of saved answers. Nothing here knows what the site wants: that is ``judge``.
"""
