"""Tests which configuration values reach saved evidence: every key of every known version of Incus, and keys that no version has."""

from __future__ import annotations

import json

import pytest

from sigsrv.collect.redact import REDACTED, redact
from sigsrv.judge.form_keys import is_right
from sigsrv.judge.form_values import Subject
from sigsrv.model import data, incus_keys
from sigsrv.model.errors import EvidenceError
from sigsrv.model.forms import Wanted

# The keys whose values are secret, as the files name them. A key that a new version adds and that is secret needs a line here.
SECRET = {
    "acme.eab.hmac",
    "acme.provider.environment",
    "authorization.openfga.api.token",
    "bgp.peers.NAME.password",
    "cloud-init.network-config",
    "cloud-init.user-data",
    "cloud-init.vendor-data",
    "environment.*",
    "initial.nvram-binary.<GUID>.<name>",
    "initial.nvram.<GUID>.<name>",
    "instances.tpm.platform_key",
    "linstor.raw.*",
    "linstor.resource_group.name",
    "linstor.resource_group.storage_pool",
    "linstor.volume.prefix",
    "logging.NAME.target.password",
    "loki.auth.password",
    "network.ovn.client_key",
    "oci.cwd",
    "oci.dns.domain",
    "oci.dns.nameservers",
    "oci.dns.search",
    "oci.entrypoint",
    "oci.gid",
    "oci.uid",
    "openfga.api.token",
    "ovn.client_key",
    "peers.NAME.key",
    "smbios11.*",
    "storage.linstor.ca_cert",
    "storage.linstor.client_cert",
    "storage.linstor.client_key",
    "storage.linstor.controller_connection",
    "storage.linstor.satellite.name",
    "systemd.credential-binary.*",
    "systemd.credential.*",
    "truenas.api_key",
    "user.*",
    "user.network-config",
    "user.user-data",
    "user.vendor-data",
}
# Keys whose names sound secret, and whose values a policy compares.
KEPT = {"cluster.join_token_expiry", "core.https_allowed_credentials", "core.remote_token_expiry"}


def keys_of(version: str) -> dict[str, str]:
    """Return key -> type of all entities of one version."""
    lists = json.loads((data.INCUS_KEYS / f"{version}.json").read_text())["keys"].values()
    return {key: row["type"] for rows in lists for key, row in rows.items()}


@pytest.mark.parametrize("version", incus_keys.versions())
def test_each_secret_key_of_a_version_is_redacted_and_no_other(version):
    """Each key of the daemon's own list gets a text in a configuration. The list of secret keys above decides."""
    keys = keys_of(version)
    shown = {key for key in keys if redact({key: "10.0.0.1/24"})[key] != REDACTED}

    known = {key: "10.0.0.1/24" for key in shown if incus_keys.known_anywhere(key)}
    assert len(known) > 400
    assert redact({"config": known}) == {"config": known}
    assert keys.keys() - shown == SECRET & keys.keys()
    assert shown >= KEPT & keys.keys()


@pytest.mark.parametrize("version", incus_keys.versions())
def test_boolean_of_a_version_is_kept_whatever_its_name_says(version):
    """A policy that reads such a key would otherwise always be an error."""
    booleans = [key for key, kind in keys_of(version).items() if kind == "bool"]

    assert len(booleans) > 50
    assert redact({"config": dict.fromkeys(booleans, "true")}) == {"config": dict.fromkeys(booleans, "true")}


def test_every_secret_key_is_a_key_of_some_version():
    """Otherwise the list above says something about nothing."""
    assert {key for version in incus_keys.versions() for key in keys_of(version)} >= SECRET | KEPT


@pytest.mark.parametrize("field", ["config", "expanded_config"])
def test_text_of_a_key_that_no_version_has_is_redacted(field):
    """The next version of Incus may keep a secret under any name. Booleans and short numbers are kept."""
    given = {"instances.vtpm.seed": "MARKER", "security.new": "true", "limits.new": "64", "core.https_address": ":8443"}

    kept = redact([{field: given}])[0][field]

    assert kept == {**given, "instances.vtpm.seed": REDACTED}


@pytest.mark.parametrize("field", ["devices", "expanded_devices"])
def test_text_of_an_unknown_key_of_a_device_is_redacted(field):
    """A device is a configuration too."""
    kept = redact({field: {"eth0": {"type": "nic", "network": "userbr0", "join.phrase": "MARKER"}}})

    assert kept == {field: {"eth0": {"type": "nic", "network": "userbr0", "join.phrase": REDACTED}}}


@pytest.mark.parametrize("key", ["tpm.platform_key", "wireguard.private-key", "peers.a.key", "disk.passphrase"])
def test_key_to_come_is_redacted_by_its_name_anywhere(key):
    """Also outside of a configuration."""
    assert redact({"state": {key: "MARKER"}}) == {"state": {key: REDACTED}}


def test_public_key_is_kept():
    """Anyone may see it."""
    assert redact({"host.public_key": "AAAA"}) == {"host.public_key": "AAAA"}


def test_the_address_of_a_zone_s_peer_is_kept_and_its_key_is_not():
    """A policy compares the address. The key lets its owner transfer the zone."""
    config = {
        "peers.ns1.address": "10.1.2.3",
        "peers.ns1.key": "c2VjcmV0",
        "peers.ns1.other": "text of a later version",
    }

    kept = redact({"config": config})["config"]

    assert kept == {"peers.ns1.address": "10.1.2.3", "peers.ns1.key": REDACTED, "peers.ns1.other": REDACTED}


@pytest.mark.parametrize("wanted", [Wanted(is_="incus"), Wanted(one_of=("a", "b")), Wanted(like=("a*",))])
def test_policy_that_compares_a_redacted_value_does_not_know(wanted):
    """Its text is not the value: neither right nor wrong."""
    with pytest.raises(EvidenceError, match="does not store it"):
        is_right("linstor.resource_group.name", REDACTED, wanted, Subject("a", "b", None, {}))


def test_policy_that_wants_a_redacted_key_unset_knows():
    """It is set, whatever its value is."""
    assert not is_right("initial.nvram.x", REDACTED, Wanted(is_=""), Subject("a", "b", None, {}))
