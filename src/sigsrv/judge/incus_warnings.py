"""The types of Incus warnings that more than one policy reads. Source: Incus, internal/server/db/warningtype."""

from __future__ import annotations

APPARMOR_DISABLED = "AppArmor support has been disabled"
MEMBER_OFFLINE = "Offline cluster member"
NETWORK_UNAVAILABLE = "Network unavailable"
POOL_UNAVAILABLE = "Storage pool unavailable"
TIME_SKEW = "Time skew detected between leader and local"
