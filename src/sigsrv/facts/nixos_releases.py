"""The day on which each release of NixOS reaches the end of its life: from the day after, it gets no security update.

Source: https://endoflife.date/api/v1/products/nixos/ of 2026-04-30, up to 25.11. 26.05 follows the rule of all of them: NixOS supports a
release until a month after the next one ("Support is planned until" in its release notes). A new release needs a line here. Until
then its hosts are ``error``, unless their os-release has SUPPORT_END (os-release(5)).
"""

from __future__ import annotations

from datetime import UTC, date, datetime

_MONTHS = 6  # between two releases
END_OF_LIFE = {
    "23.05": date(2023, 12, 31),
    "23.11": date(2024, 6, 30),
    "24.05": date(2024, 12, 31),
    "24.11": date(2025, 6, 30),
    "25.05": date(2025, 12, 31),
    "25.11": date(2026, 6, 30),
    "26.05": date(2026, 12, 31),
}


def is_development(release: str, now: float) -> bool:
    """Return whether a release is the next one, so its month has not come yet: nixos-unstable has its number.

    release: year and month, for example ``26.11``. now: in seconds since the epoch.
    """
    today = datetime.fromtimestamp(now, UTC)
    year, month = (int(word) for word in release.split("."))
    return 0 < (2000 + year - today.year) * 12 + month - today.month <= _MONTHS
