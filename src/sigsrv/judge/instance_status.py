"""What the status of an instance, as Incus reports it, says about its processes.

Source: Incus REST API, doc/rest-api.yaml (Instance).
"""

from __future__ import annotations

from sigsrv.facts.resources import Instance

STOPPED = "Stopped"
_UNKNOWN = frozenset({"Error", "Unknown"})


def may_run(instance: Instance) -> bool:
    """Return whether an instance may have processes: its status is any other than ``Stopped``."""
    return instance.status != STOPPED


def is_unknown(instance: Instance) -> bool:
    """Return whether nothing is known about the processes of an instance.

    Incus reports ``Error`` if the instance's member did not answer. ``Unknown`` is sigsrv's own status of an instance whose state did not
    arrive in time.
    """
    return instance.status in _UNKNOWN


def is_started(instance: Instance) -> bool:
    """Return whether an instance is known to have processes. A frozen one has some, too."""
    return may_run(instance) and not is_unknown(instance)
