"""Tests how the versions of a NixOS host are read, and the probe that asks for them."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigsrv.collect.probes import TABLE
from sigsrv.facts import nixos
from sigsrv.facts.nixos import BootPart
from sigsrv.facts.nixos_releases import END_OF_LIFE, is_development
from sigsrv.model.errors import EvidenceError

PROBE = next(probe for probe in TABLE if probe.id == "nixos")
HASH = "0" * 32
INCUS = f"/nix/store/{HASH}-incus-7.0.2/bin/incus"
SYSTEMS = "1795000000\n/nix/store/a/bzImage\n/nix/store/b/bzImage\n/nix/store/next-nixos\n/nix/store/now-nixos\n"
PARTS = "initrd /nix/store/i /nix/store/j\nkernel-modules /nix/store/m /nix/store/m\n"
FLAKE = (
    '{"nixosVersion":"25.05.20260102.ac62194","nixpkgsRevision":"x"}\n'
    + SYSTEMS
    + PARTS
    + f"incus 1794000000 {INCUS}\n"
)
CHANNEL = FLAKE.replace("25.05.20260102.ac62194", "25.05.716390.20755fa05115")
FETCHED = ".716390.20755fa05115"


def test_next_boot_and_running_system_are_two():
    """A rebuild for the next boot changes the profile, but not the running system."""
    found = nixos.nixos(FLAKE)

    assert (found.booted, found.current) == ("/nix/store/a/bzImage", "/nix/store/b/bzImage")
    assert (found.next, found.running) == (("/nix/store/next-nixos",), "/nix/store/now-nixos")
    assert nixos.nixos(FLAKE.replace("now-nixos\n", "now-nixos\n/nix/store/special\n")).next[1:] == (
        "/nix/store/special",
    )


def test_version_of_a_flake_contains_the_day_of_its_packages():
    """A version without a day gives None."""
    found = nixos.nixos(FLAKE)

    assert (found.switched, found.nixpkgs, found.release) == (1795000000.0, 1767312000.0, "25.05")
    assert nixos.nixos(FLAKE.replace("25.05.20260102.ac62194", "25.05pre-git")).nixpkgs is None
    assert nixos.nixos(FLAKE.replace("25.05.20260102.ac62194", "mine")).release == ""


@pytest.mark.parametrize(
    ("channels", "fetched"),
    [
        ("", None),
        (f"channel 1793000000 {FETCHED}\n", 1793000000.0),
        # Going back to an older generation and forth again makes no new one, so the first one counts.
        (f"channel 1793000000 {FETCHED}\nchannel 1794000000 {FETCHED}\nchannel 1790000000 .1.2\n", 1793000000.0),
        ("channel 1793000000 .716391.aaaaaaaaaaaa\n", None),
        ("channel 1793000000\n", None),
    ],
)
def test_version_of_a_channel_is_as_old_as_what_root_fetched(channels, fetched):
    """Only the channel with exactly that version: the system may be older than the newest one, or from another channel."""
    assert nixos.nixos(CHANNEL + channels).nixpkgs == fetched


def test_day_in_the_version_wins_over_a_channel():
    assert nixos.nixos(FLAKE + "channel 1 .20260102.ac62194\n").nixpkgs == 1767312000.0


def test_parts_that_only_a_boot_changes_are_compared():
    """The system of a container has none. Evidence of an earlier version of sigsrv says nothing about them."""
    assert nixos.boot_parts(FLAKE) == (
        BootPart("initrd", "/nix/store/i", "/nix/store/j"),
        BootPart("kernel-modules", "/nix/store/m", "/nix/store/m"),
    )
    none = FLAKE.replace(PARTS, "initrd - -\nkernel-modules - -\n")
    assert [(part.booted, part.current) for part in nixos.boot_parts(none)] == [("", "")] * 2
    for changed in ("", "initrd /nix/store/i /nix/store/i\n", PARTS.replace("/nix/store/j", "/boot/j"), PARTS + PARTS):
        with pytest.raises(EvidenceError):
            nixos.boot_parts(FLAKE.replace(PARTS, changed))


def test_incus_has_the_name_of_its_store_path():
    """Its day is that of the download, or none. Only the configuration can say how old its package set is."""
    found = nixos.incus_package(FLAKE)
    assert (found.name, found.stored, found.nixpkgs) == ("incus-7.0.2", 1794000000.0, None)
    assert nixos.incus_package(FLAKE + "incus-nixpkgs 20260102\n").nixpkgs == 1767312000.0
    assert nixos.incus_package(FLAKE + "incus-nixpkgs 20260102235959\n").nixpkgs == 1767312000.0
    assert nixos.incus_package(FLAKE.replace(f"1794000000 {INCUS}", f"0 {INCUS}")).stored is None
    elsewhere = nixos.incus_package(FLAKE.replace(INCUS, "/opt/incus"))
    assert (elsewhere.name, elsewhere.stored) == ("", None)
    for tail in ("incus-nixpkgs soon\n", "incus-nixpkgs 20269999\n", "incus-nixpkgs \n", f"incus 1 {INCUS}\n"):
        with pytest.raises(EvidenceError):
            nixos.incus_package(FLAKE + tail)


@pytest.mark.parametrize("view", [nixos.nixos, nixos.boot_parts, nixos.incus_package])
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "Permission denied"])
def test_unreadable_output_is_an_error(view, text):
    with pytest.raises(EvidenceError):
        view(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/nix/store/a/bzImage\n", ""),
        ("1795000000", "lately"),
        ("/nix/store/next-nixos\n", ""),
        ("/nix/store/now-nixos", ""),
        ("initrd /nix", "\ninitrd /nix"),
        ("/nix/store/now-nixos", "/etc/now-nixos"),
    ],
)
def test_incomplete_answer_is_an_error(old, new):
    """A missing or malformed line is never skipped."""
    with pytest.raises(EvidenceError):
        nixos.nixos(FLAKE.replace(old, new, 1))


@pytest.mark.parametrize(
    ("release", "is_next"),
    [("26.11", False), ("26.05", False), ("27.05", True), ("27.11", False), ("99.99", False), ("26.12", True)],
)
def test_only_the_next_release_is_in_development(release, is_next):
    """A later one can't exist. One of this month may be out already."""
    assert is_development(release, datetime(2026, 11, 30, tzinfo=UTC).timestamp()) is is_next


def test_each_release_ends_with_the_month_after_the_next_one():
    """The rule of NixOS: releases in May and November, and a month more for the older one."""
    for release, end in END_OF_LIFE.items():
        year, month = (int(word) for word in release.split("."))
        assert (end.year, end.month) == ((2000 + year, 12) if month == 5 else (2001 + year, 6))


def host(folder: Path) -> str:
    """Create the files of a NixOS host in a folder. Return the command of the probe that reads them there."""
    for name in ("programs", "etc", "run/booted-system", "run/current-system", "nix/var/nix/profiles/per-user/root"):
        (folder / name).mkdir(parents=True)
    store = folder / "nix" / "store" / f"{HASH}-incus-7.0.2" / "bin"
    store.mkdir(parents=True)
    for path, code in (
        (store / "incus", ":"),
        (folder / "programs" / "nixos-version", 'echo \'{"nixosVersion":"1"}\''),
    ):
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
    (folder / "programs" / "incus").symlink_to(store / "incus")
    for when in ("booted", "current"):
        (folder / "run" / f"{when}-system" / "kernel").symlink_to("/nix/store/k/bzImage")
        (folder / "run" / f"{when}-system" / "initrd").symlink_to(f"/nix/store/{when}-initrd")
    profiles = folder / "nix" / "var" / "nix" / "profiles"
    (profiles / "system").symlink_to(folder / "run" / "current-system")
    for number, suffix in (("1", ".700000.aaa"), ("2", ".716390.bbb")):
        (folder / f"channel-{number}" / "nixos").mkdir(parents=True)
        (folder / f"channel-{number}" / "nixos" / ".version-suffix").write_text(suffix)
        link = profiles / "per-user" / "root" / f"channels-{number}-link"
        link.symlink_to(folder / f"channel-{number}")
        os.utime(link, (0, 1790000000 + int(number)), follow_symlinks=False)
    command = PROBE.command[2]
    for path in ("/run/booted", "/run/current", "/nix/var", "/etc/sigsrv"):
        command = command.replace(path, f"{folder}{path}")
    return command


def ask(folder: Path, command: str) -> tuple[int, list[str]]:
    environment = {"PATH": f"{folder}/programs:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout.replace(str(folder), "").splitlines()


def test_probe_reads_generations_of_channels_and_parts(tmp_path):
    """The time of a channel is that of the link. A part that the system lacks is a dash."""
    command = host(tmp_path)

    status, lines = ask(tmp_path, command)
    (tmp_path / "etc" / "sigsrv").mkdir()
    (tmp_path / "etc" / "sigsrv" / "incus-nixpkgs").write_text("20260102030405")
    _, more = ask(tmp_path, command)

    assert status == 0
    assert lines[1].isdecimal()
    assert [*lines[2:4], *lines[6:]] == [
        "/nix/store/k/bzImage",
        "/nix/store/k/bzImage",
        "initrd /nix/store/booted-initrd /nix/store/current-initrd",
        "kernel-modules - -",
        "channel 1790000001 .700000.aaa",
        "channel 1790000002 .716390.bbb",
        lines[-1],
    ]
    assert lines[-1].startswith("incus ")
    assert lines[-1].endswith(f" /nix/store/{HASH}-incus-7.0.2/bin/incus")
    assert more == [*lines, "incus-nixpkgs 20260102030405"]


def test_probe_is_empty_elsewhere_and_fails_without_a_profile(tmp_path):
    """On another system there is no nixos-version. A NixOS without a profile of its system is an error."""
    command = host(tmp_path)
    (tmp_path / "nix" / "var" / "nix" / "profiles" / "system").unlink()

    assert ask(tmp_path, command)[0] != 0
    (tmp_path / "programs" / "nixos-version").unlink()
    assert ask(tmp_path, command) == (0, [])


def test_host_without_the_client_still_answers(tmp_path):
    """A wrapper or a server without the client costs only the line about Incus."""
    command = host(tmp_path)
    (tmp_path / "programs" / "incus").unlink()
    environment = {"PATH": f"{tmp_path}/programs:{tmp_path}/tools"}
    (tmp_path / "tools").mkdir()
    for name in ("readlink", "stat", "head", "sh"):
        path = subprocess.run(
            ["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        (tmp_path / "tools" / name).symlink_to(path)

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 0
    assert done.stdout.endswith("\nincus 0 -\n")
