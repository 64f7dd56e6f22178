"""Checks of HOST: how sshd lets people in."""

from collections.abc import Iterator, Mapping

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.facts.sshd import METHODS, MatchBlock
from sigsrv.judge.clauses import Clauses
from sigsrv.model.errors import EvidenceError

_ROOT_LOGIN = ("no", "prohibit-password", "without-password", "forced-commands-only")
_PASSWORDS = {"password": "passwordauthentication", "keyboard-interactive": "kbdinteractiveauthentication"}
_KEYS = ("publickey", "hostbased", "gssapi-with-mic")  # methods that no guessed password passes
_FLAGS = (*_PASSWORDS.values(), "permitemptypasswords")

Settings = Mapping[str, str]


@policy("HOST-009")
def test_sshd_refuses_password_logins(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at sshd's settings for connections that no Match block names, for root, and for each Match block.

    AuthenticationMethods counts: if each of its lists needs a key, no password alone opens a session.
    """
    with require.finding(facts.name, "no password login, for any account, address and port") as finding:
        finding.otherwise = "sshd accepts no password"
        finding.fix.update(blocks="")
        of_all: Settings | None = None
        with finding.clause():
            of_all = facts.machine.sshd_of_users
            _judge(finding, of_all, "")
        with finding.clause():
            of_root = facts.machine.sshd_of_root
            if of_root is not None:
                _judge(finding, of_root, "for root: ")
        with finding.clause():
            blocks = facts.machine.sshd_blocks
            if of_all is not None:
                _judge_blocks(finding, of_all, blocks)


def _judge(finding: Clauses, settings: Settings, about: str) -> None:
    for fault in _faults(settings):
        finding.violated(f"{about}{fault}")


def _judge_blocks(finding: Clauses, of_all: Settings, blocks: tuple[MatchBlock, ...]) -> None:
    """Check what each Match block changes. Its criteria do not matter: whatever they are, they open a door for some connection."""
    known, opening = set(_faults(of_all)), []
    for block in blocks:
        with finding.clause():
            if faults := [fault for fault in _faults({**of_all, **block.settings}) if fault not in known]:
                finding.violated(f"Match {block.criteria} ({block.place}): {', '.join(faults)}")
                opening.append(block.place)
    finding.fix["blocks"] = ", ".join(opening)
    if not finding.is_violated and any(_faults(each) for each in _together(of_all, blocks)):
        finding.unknown(
            "Match blocks that refuse passwords alone accept them together, and can't determine whether one connection matches both"
        )


def _together(of_all: Settings, blocks: tuple[MatchBlock, ...]) -> Iterator[Settings]:
    """Yield the settings of a connection to which several Match blocks apply, at their most open: for each AuthenticationMethods once.

    Of the blocks that apply, the first one that has a setting decides about it.
    """
    for deciding in ({}, *(block.settings for block in blocks if METHODS in block.settings)):
        found = {**of_all, **deciding}
        for key in _FLAGS:
            others = (block.settings for block in blocks if block.settings is not deciding)
            if any(each.get(key, "").lower() == "yes" for each in others):
                found[key] = "yes"
        yield found


def _faults(settings: Settings) -> list[str]:
    """Return what opens a session without a key, or root's account to a password. Raises EvidenceError for an unknown value."""
    found = []
    if not settings[METHODS].split():
        raise EvidenceError(f"sshd: {METHODS} has no method")
    for methods in settings[METHODS].split():
        if methods == "any":
            found += [f"{key} is yes" for key in _PASSWORDS.values() if _is_on(settings, key)]
        elif _opens(settings, methods.split(",")):
            found.append(f"{METHODS} has {methods}")
    if _is_on(settings, "permitemptypasswords"):
        found.append("permitemptypasswords is yes")
    if settings["permitrootlogin"].lower() not in _ROOT_LOGIN:
        found.append(f"permitrootlogin is {settings['permitrootlogin']}")
    return found


def _opens(settings: Settings, methods: list[str]) -> bool:
    """Return whether a list of methods, which must all succeed, needs no key and each method is allowed."""
    names = [each.partition(":")[0] for each in methods]  # keyboard-interactive:pam, for example
    if unknown := [name for name in names if name not in (*_KEYS, *_PASSWORDS, "none")]:
        raise EvidenceError(f"sshd: {METHODS} has {unknown[0]!r}, which sigsrv does not know")
    return not any(name in _KEYS for name in names) and all(
        _is_on(settings, _PASSWORDS[name]) for name in names if name in _PASSWORDS
    )


def _is_on(settings: Settings, key: str) -> bool:
    value = settings[key].lower()
    if value not in ("yes", "no"):
        raise EvidenceError(f"sshd: {key} is {value[:40]!r}, neither yes nor no")
    return value == "yes"
