"""Tests the facts about certificates, images and tokens from Incus's API answers."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer, Failure
from sigsrv.facts.clusters import clusters
from sigsrv.facts.images import image
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.operations import open_tokens
from sigsrv.facts.parsing import moment, texts
from sigsrv.facts.trust import trust_entry, x509
from sigsrv.model.errors import EvidenceError, FailureKind

FOLDER = Path(__file__).parent / "evidence" / "certificates"
RECORDED = document.evidence_of(document.document(), "sigsrv")
VIEWS = {"trust": urls.CERTIFICATES, "tokens": urls.OPERATIONS, "images": urls.IMAGES}


def answering(address: str, answer: ApiAnswer) -> IncusFacts:
    return IncusFacts(dataclasses.replace(RECORDED, api={**RECORDED.api, address: answer}))


@pytest.mark.parametrize(
    ("name", "key", "bits", "signature"),
    [
        ("p256.pass", "ECDSA", 256, "sha256"),
        ("p384.pass", "ECDSA", 384, "sha384"),
        ("ed25519.pass", "Ed25519", 256, "Ed25519"),
        ("rsa3072.pass", "RSA", 3072, "sha256"),
        ("rsa2048.fail", "RSA", 2048, "sha256"),
        ("p224.fail", "ECDSA", 224, "sha256"),
        ("dsa.fail", "DSA", 2048, "sha256"),
        ("sha1.fail", "ECDSA", 256, "sha1"),
    ],
)
def test_a_certificate_has_its_key_and_its_signature_hash(name, key, bits, signature):
    """The key has a type and a size."""
    found = x509((FOLDER / f"{name}.pem").read_text(), "it")

    assert (found.key, found.bits, found.signature) == (key, bits, signature)
    assert (found.not_before, found.not_after) == (1767225600.0, 2082758400.0)  # 2026 and 2036


def test_a_fingerprint_is_the_sha_256_of_the_certificate():
    """It is the same fingerprint that openssl prints and Incus shows."""
    found = x509((FOLDER / "p256.pass.pem").read_text(), "it")

    assert found.fingerprint == "515dac1a8032a61b5cf612371060ed188d39da2a8e615b0315ada27904ae0fd5"


@pytest.mark.parametrize("pem", [None, "", 5, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "PEM"])
def test_an_unreadable_certificate_is_an_error(pem):
    """It never reads as a certificate with a strong key."""
    with pytest.raises(ValueError, match="it"):
        x509(pem, "it")


def test_each_view_reads_the_answer():
    """Covers the trust store, the images, the tokens and the certificate of the daemon."""
    facts = IncusFacts(RECORDED)

    assert [(entry.name, entry.resource, entry.projects) for entry in facts.trust] == [
        ("scanner", "c2f6b633b1ff", ("default",)),
        ("sigsrv", "3389423bc3d8", ()),
        ("minisrv", "97adbab91949", ()),
    ]
    assert [(each.resource, each.server) for each in facts.images] == [
        ("default/1f00a1f00b1f", "https://images.linuxcontainers.org")
    ]
    assert facts.tokens == ()
    assert facts.certificate.key == "ECDSA"


@pytest.mark.parametrize("metadata", ["", None, [1], [{}], "untrusted", 5], ids=repr)
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_refuses_a_malformed_answer(view, metadata):
    """A malformed answer is an error, never an empty list."""
    with pytest.raises(EvidenceError):
        getattr(answering(VIEWS[view], ApiAnswer(200, metadata)), view)


@pytest.mark.parametrize("view", [*VIEWS, "config"])
def test_a_filtered_list_is_an_error(view):
    """Incus returns no error to a client that it does not fully trust. It leaves data out."""
    untrusted = {**RECORDED.api[urls.SERVER].metadata, "auth": "untrusted", "config": {}}
    forbidden = ApiAnswer(403, None, Failure(FailureKind.DENIED, "warnings are refused"))

    for facts in (answering(urls.SERVER, ApiAnswer(200, untrusted)), answering(urls.WARNINGS, forbidden)):
        with pytest.raises(EvidenceError) as caught:
            getattr(facts, view)
        assert caught.value.kind is FailureKind.DENIED


@pytest.mark.parametrize("view", ["config", "certificate"])
def test_a_server_answer_without_configuration_or_certificate_is_an_error(view):
    """A missing configuration never reads as an empty configuration."""
    environment = {k: v for k, v in RECORDED.api[urls.SERVER].metadata["environment"].items() if k != "certificate"}

    with pytest.raises(EvidenceError, match="is missing"):
        getattr(
            answering(urls.SERVER, ApiAnswer(200, {"auth": "trusted", "config": None, "environment": environment}))
            if view == "certificate"
            else answering(urls.SERVER, ApiAnswer(200, {"auth": "trusted", "environment": environment})),
            view,
        )


def test_the_booleans_of_the_server_are_filled_in():
    """An unset key has its default. A value that is not a boolean is an error."""
    assert IncusFacts(RECORDED).config["core.metrics_authentication"] == "true"
    assert IncusFacts(RECORDED).config["core.trust_ca_certificates"] == "false"

    bad = copy.deepcopy(RECORDED.api[urls.SERVER].metadata)
    bad["config"]["core.trust_ca_certificates"] = "perhaps"
    with pytest.raises(EvidenceError, match="is not a boolean"):
        _ = answering(urls.SERVER, ApiAnswer(200, bad)).config


ENTRY = {
    "fingerprint": "a" * 64,
    "name": "x",
    "type": "client",
    "restricted": True,
    "projects": None,
    "certificate": "PEM",
}


@pytest.mark.parametrize(
    "wrong",
    [{"restricted": "true"}, {"restricted": None}, {"projects": "default"}, {"fingerprint": "../etc"}, {"type": ""}],
    ids=repr,
)
def test_a_malformed_trust_entry_is_refused(wrong):
    """No value is guessed, because the entry decides about rights."""
    assert trust_entry(ENTRY).projects == ()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        trust_entry({**ENTRY, **wrong})


IMAGE = {
    "fingerprint": "b" * 64,
    "project": "default",
    "properties": {},
    "created_at": "1970-01-01T00:00:00Z",
    "uploaded_at": "2026-11-23T13:04:13.72157601Z",
    "last_used_at": "0001-01-01T00:00:00Z",
    "cached": False,
    "auto_update": False,
    "public": False,
}


def test_an_image_that_was_created_here_has_no_server():
    """Incus leaves out the source of such an image. Go's zero time means no time."""
    found = image(IMAGE)

    assert (found.server, found.last_used, found.created) == (None, None, 0.0)
    assert found.uploaded == pytest.approx(1795439053.7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"public": "false"},
        {"cached": None},
        {"created_at": "yesterday"},
        {"uploaded_at": "2026-11-23T13:04:13"},
        {"update_source": {"protocol": "simplestreams"}},
        {"update_source": {"server": ""}},
        {"update_source": "https://images.linuxcontainers.org"},
        {"project": ""},
    ],
    ids=repr,
)
def test_a_malformed_image_is_refused(wrong):
    """A source without a server never reads as an image that was created here."""
    with pytest.raises((ValueError, KeyError)):
        image({**IMAGE, **wrong})


TOKEN = {
    "id": "719147c7",
    "class": "token",
    "created_at": "2026-11-23T17:48:03.76103863Z",
    "status": "Running",
    "location": "sigsrv",
    "resources": {},
    "metadata": {"request": {"name": "laptop"}, "secret": "(redacted)"},
}


@pytest.mark.parametrize(
    ("more", "purpose"),
    [
        ({}, "client laptop"),
        ({"metadata": {"serverName": "server3"}}, "member server3"),
        ({"metadata": None, "resources": {"images": ["/1.0/images/x"]}}, "access to images"),
        ({"metadata": None, "resources": None}, "no purpose given"),
    ],
)
def test_an_open_token_has_its_purpose(more, purpose):
    """Covers tokens for clients, members and images, and a token without a purpose."""
    (found,) = open_tokens({"running": [{**TOKEN, **more}]})

    assert (found.purpose, found.location, int(found.created)) == (purpose, "sigsrv", 1795456083)


def test_cancelled_tokens_and_other_operations_are_left_out():
    """Revoked tokens stay in the list for a while. Tasks are not tokens."""
    others = [{**TOKEN, "status": "Cancelled"}, {**TOKEN, "class": "task"}]

    assert open_tokens({"running": others, "cancelled": [{**TOKEN, "status": "Cancelled"}]}) == ()
    assert open_tokens({}) == ()


@pytest.mark.parametrize(
    "wrong", [{"class": "tokens"}, {"status": None}, {"created_at": ""}, {"created_at": "0001-01-01T00:00:00Z"}]
)
def test_a_malformed_token_is_refused(wrong):
    """An unknown class or time may hide a token."""
    with pytest.raises(ValueError, match=r"class|status|created_at"):
        open_tokens({"running": [{**TOKEN, **wrong}]})


def test_times_need_a_zone_and_go_s_zero_time_is_none():
    """The format is RFC 3339 with up to nanoseconds."""
    assert moment("2026-11-23T18:00:00.123456789+01:00", "t") == pytest.approx(1795453200.123456)
    assert moment("0001-01-01T00:00:00Z", "t") is None
    for wrong in ("", None, 5, "2026-11-23", "2026-13-23T00:00:00Z", "2026-11-23T18:00:00"):
        with pytest.raises(ValueError, match=r"^t: "):
            moment(wrong, "t")


def test_a_list_of_texts_is_a_list_or_null():
    """Go writes an empty list in both ways."""
    assert texts(None, "roles") == texts([], "roles") == ()
    for wrong in ("a", {}, [1], [""]):
        with pytest.raises(ValueError, match="roles"):
            texts(wrong, "roles")


def test_a_cluster_lists_the_standalone_hosts():
    """The standalone host does not list the hosts of the cluster as standalone."""
    content = document.document()
    content["minisrv"]["server"] = {"environment": {"server_clustered": False}}

    together, alone = clusters(document.facts_of(content)[1])

    assert (together.name, list(together.hosts), list(together.standalone)) == ("cluster", ["sigsrv"], ["minisrv"])
    assert (alone.name, list(alone.hosts), list(alone.standalone)) == ("minisrv", ["minisrv"], [])
    assert together.collected == 1795000000
