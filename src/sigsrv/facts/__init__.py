"""Evidence -> facts: typed views of the links, pools, instances and more of one host or of a cluster.

Pure functions of saved answers. They do not know what the site wants: that is ``judge``.
"""
