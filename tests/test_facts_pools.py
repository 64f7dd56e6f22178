"""Tests the facts about one storage pool on one host, and that one odd pool costs only itself."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer, Failure
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import policy
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.forms import Forms, Threshold, Value
from sigsrv.model.values import Size

DAY_S = 86400
POLICIES = policy.load()
NVME = urls.pool_url("nvme", "minisrv")


def host(*changes, without=()):
    """Return the facts of minisrv in the changed example document. without: URLs and probes that gave no answer."""
    _, hosts = document.facts_of(
        document.patched([{"op": "add", "path": path, "value": value} for path, value in changes])
    )
    found = hosts["minisrv"]
    failure = Failure(FailureKind.TIMEOUT, "no answer")
    api = {key: ApiAnswer(0, None, failure) if key in without else each for key, each in found.evidence.api.items()}
    probes = {
        key: dataclasses.replace(each, failure=failure) if key in without else each
        for key, each in found.evidence.probes.items()
    }
    return HostFacts(found.name, found.member, dataclasses.replace(found.evidence, api=api, probes=probes))


def nvme(*changes, without=()):
    return host(*changes, without=without).pools["nvme"]


def config(**keys):
    return ("/minisrv/pools/nvme", {"config": {key.replace("__", "."): value for key, value in keys.items()}})


@pytest.mark.parametrize(
    ("without", "unknown"),
    [
        (
            (NVME,),
            {"reported", "status", "config", "image_files", "zfs_names", "zpool_name", "zpool", "zpool_age_days"},
        ),
        ((urls.pool_resources_url("nvme", "minisrv"),), {"free", "free_percent", "free_inodes_percent"}),
        (("zpool-json",), {"zpool", "scan_min_age_days", "scan_max_age_days"}),
        (("zpool-list",), {"zpool_used_percent", "zpool_fragmentation_percent"}),
        (("zfs-created",), {"zpool_age_days", "zpool_created_on"}),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_an_answer_that_is_missing_costs_only_the_facts_that_it_has(without, unknown):
    """The other facts of the pool are known, and all facts of the other pool."""
    facts = host(without=without)
    for name in unknown:
        with pytest.raises(EvidenceError):
            getattr(facts.pools["nvme"], name)
    known = {
        "name",
        "driver",
        "locations",
        "is_on_member",
        "free",
        "free_percent",
        "status",
        "zpool",
        "zpool_used_percent",
    }
    for name in known - unknown - ({"zpool_used_percent"} if NVME in without else set()):
        getattr(facts.pools["nvme"], name)
    iso = facts.pools["iso"]
    assert (iso.status, iso.driver, iso.image_files, iso.zpool_used_percent) == ("Created", "dir", (), None)
    assert iso.free_inodes_percent is not None


def test_names_in_zfs_are_the_dataset_and_its_zpool():
    """Incus may use a dataset below the root of the zpool."""
    assert nvme().zfs_names == ("tank/incus", "tank")
    assert nvme(config(zfs__pool_name="tank", source="tank")).zfs_names == ("tank",)
    assert host().pools["iso"].zfs_names == ()


def test_a_zfs_pool_without_a_name_in_zfs_is_unknown():
    """An empty name is not that of a zpool that is not imported."""
    with pytest.raises(EvidenceError, match="no ZFS pool name"):
        _ = nvme(config(zfs__pool_name="", source="tank")).zpool
    assert nvme(config(zfs__pool_name="old", source="old")).zpool is None


@pytest.mark.parametrize(
    ("keys", "files"),
    [
        ({"source": "/srv/a.img"}, ("/srv/a.img",)),
        ({"source": "nvme", "volatile__initial_source": "/srv/a.img"}, ("/srv/a.img",)),
        ({"source": "/srv/a.img", "volatile__initial_source": "/srv/a.img"}, ("/srv/a.img",)),
        ({"source": "nvme", "volatile__initial_source": "/dev/sda"}, ()),
    ],
)
def test_image_files_hold_a_pool_that_was_created_in_a_file(keys, files):
    """After its creation, the source of a pool may be its name."""
    assert nvme(config(**keys)).image_files == files


def test_a_pool_without_a_source_may_be_in_a_file():
    """Incus shows the source only of the member that was asked."""
    with pytest.raises(EvidenceError, match="does not report the source"):
        _ = nvme(config(zfs__pool_name="tank")).image_files


def test_free_shares_are_rounded_down():
    """14.99 % are less than 15 %: a limit is a whole number."""
    used = ("/minisrv/resources/nvme/space/used", 91268055041)

    assert (nvme().free_percent > 15, nvme(used).free_percent) == (True, 14)
    assert nvme(used).free == 107374182400 - 91268055041
    assert nvme().free_inodes_percent is None


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0.00 GiB"), (5 * 1024**3, "5.00 GiB"), (5 * 1024**3 - 1, "4.99 GiB"), (1024**4, "1024.00 GiB")],
)
def test_a_size_is_shown_in_gib_rounded_down(size, text):
    assert str(Size(size)) == text
    assert Size(size) == size


def scanned(age_s):
    return (
        "/minisrv/zpools/tank/scan_stats/end_time",
        int(document.facts_of(document.document())[1]["minisrv"].collected - age_s),
    )


def test_age_of_a_scan_is_exact_in_json():
    """The two ages are equal. A clock may be some hours ahead, and not more than a day."""
    pool = nvme(scanned(35 * DAY_S))

    assert (pool.scan_min_age_days, pool.scan_max_age_days) == (35, 35)
    assert nvme(scanned(-DAY_S)).scan_min_age_days == -1
    with pytest.raises(EvidenceError, match="the last scan ended 2 days after"):
        _ = nvme(scanned(-2 * DAY_S)).scan_max_age_days


def test_a_scan_that_has_not_ended_has_no_age():
    running = {"function": "SCRUB", "state": "SCANNING", "start_time": 1, "end_time": 0, "errors": 0, "scrub_pause": 0}
    pool = nvme(("/minisrv/zpools/tank/scan_stats", running))

    assert (pool.scan_min_age_days, pool.scan_max_age_days, pool.zpool.scan.ended_on) == (None, None, None)


def test_age_of_a_zpool_is_not_below_zero():
    with pytest.raises(EvidenceError, match="the zpool was created 12 days after"):
        _ = nvme(("/minisrv/created/tank", 1796000000)).zpool_age_days


def test_a_server_in_no_cluster_has_each_pool_that_it_lists():
    """It lists no locations."""
    alone = ("/minisrv/server/environment", {"server_clustered": False})

    assert nvme(alone, ("/cluster/pools/nvme/locations", [])).is_on_member
    assert not nvme(("/cluster/pools/nvme/locations", ["sigsrv"])).is_on_member
    assert not nvme(("/cluster/pools/nvme/locations", [])).is_on_member


def test_a_zpool_of_another_host_is_not_believed():
    """Incus reports the pool of this member whichever member is asked; zpool does not."""
    pool = nvme(("/minisrv/server/environment", {"server_name": "sigsrv"}))

    assert pool.status == "Created"
    with pytest.raises(EvidenceError, match="says that it is sigsrv"):
        _ = pool.zpool


@pytest.mark.parametrize("kind", ["read", "write", "checksum"])
def test_each_counter_of_a_device_is_an_error(kind):
    zpool = nvme((f"/minisrv/zpools/tank/vdevs/tank/vdevs/sda/{kind}_errors", 3)).zpool

    assert [text for text in zpool.device_errors if f"3 {kind}" in text] == list(zpool.device_errors)
    assert len(zpool.device_errors) == 1


def test_only_a_spare_may_be_in_use_or_wait():
    """Another device in such a state is not ONLINE."""
    device = ("/minisrv/zpools/tank/vdevs/tank/vdevs/sda/state", "INUSE")

    assert nvme(device).zpool.not_online == ("sda is INUSE",)
    assert nvme(("/minisrv/zpools/tank/spares/sdz/state", "INUSE")).zpool.not_online == ()
    assert nvme(("/minisrv/zpools/tank/spares/sdz/state", "FAULTED")).zpool.not_online == ("sdz is FAULTED",)


def test_a_finding_shows_sizes_in_gib():
    """Those of the pool and that of the site file."""
    limits = {"op": "add", "path": "/site/thresholds", "value": {"pool_free_min": "1GiB"}}
    site, hosts = document.facts_of(document.patched([limits]))
    found = {each.id: each for each in evaluate([POLICIES["POOL-003"]], {}, site, hosts)}["POOL-003@minisrv/nvme"]

    assert "at least 1.00 GiB free" in found.expected
    assert f"{Size(hosts['minisrv'].pools['nvme'].free)} free" in found.observed


def judged(**more):
    """Return the verdicts of a policy about pools, while one pool gives no answer."""
    made = dataclasses.replace(
        POLICIES["PROJ-001"],
        **{"id": "SITE-001", "examines": "pool", "match": {}, "expected": "x", "observe": "/status"} | more,
    )
    site, _ = document.facts_of(document.document())
    found = evaluate([made], {}, site, {"minisrv": host(without=(NVME,))})
    return {each.resource: str(each.verdict) for each in found}


@pytest.mark.parametrize(("status", "verdict"), [("Created", "pass"), ("Pending", "fail")])
def test_a_rule_judges_the_other_pools_if_one_gives_no_answer(status, verdict):
    """The rule sees what Incus reports of each pool on this member."""
    assert judged(rule={"properties": {"status": {"const": status}}}) == {"nvme": "error", "iso": verdict}


@pytest.mark.parametrize(
    "match",
    [{"properties": {"status": {"const": "Created"}}}, {"anyOf": [{"properties": {"status": {"const": "Created"}}}]}],
)
def test_a_form_judges_the_other_pools_if_one_gives_no_answer(match):
    """``match`` reads the answer of each pool. Whether it selects the one without an answer is unknown."""
    forms = Forms(threshold=(Threshold("free_percent", at_least=Value(literal=0)),))

    assert judged(rule=None, forms=forms, match=match) == {"nvme": "error", "iso": "pass"}
