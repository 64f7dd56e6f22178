"""site: the desired topology, from the site file.

Room: the model. May import collect's address of an API, facts' sizes and what lies below.
"""

from sigsrv.site.loading import find, load, loads, parse, schema
from sigsrv.site.model import (
    DEFAULT_FEATURES,
    DEFAULT_LIMITS,
    Auth,
    Backups,
    ClusterWants,
    Exemption,
    HostPath,
    IncusWants,
    Site,
    SiteAcl,
    SiteBridge,
    SiteHost,
    SitePool,
    SiteProfile,
    SiteProject,
    SiteProxy,
    Thresholds,
    Vlan,
)

__all__ = [
    "DEFAULT_FEATURES",
    "DEFAULT_LIMITS",
    "Auth",
    "Backups",
    "ClusterWants",
    "Exemption",
    "HostPath",
    "IncusWants",
    "Site",
    "SiteAcl",
    "SiteBridge",
    "SiteHost",
    "SitePool",
    "SiteProfile",
    "SiteProject",
    "SiteProxy",
    "Thresholds",
    "Vlan",
    "find",
    "load",
    "loads",
    "parse",
    "schema",
]
