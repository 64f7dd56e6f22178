"""Site -> run: plan, collect evidence, judge it, apply waivers, select findings.

This package connects the layers below it. It does not show the run: ``report`` does.
"""
