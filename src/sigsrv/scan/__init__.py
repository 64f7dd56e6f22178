"""A site -> a run: what is asked for is checked, evidence is collected, judged, waived, selected and made a run.

It puts the layers below together. How a run is shown is not here, but in ``report``.
"""
