"""sigsrv: a policy-as-code compliance scanner and remediator for Incus clusters."""

__version__ = "0.1.0"
