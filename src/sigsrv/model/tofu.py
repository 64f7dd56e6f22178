"""Writes the OpenTofu configuration that makes a fix last, for the provider lxc/incus.

On an update the provider sends the configuration of the resource, and Incus removes each key that is not in it. So a text never has only
the key that changes: it has the change as lines for the resource that manages the object already (comments), and a complete resource with
an import block for an object that none manages.

Source: lxc/terraform-provider-incus, docs/resources and internal (``Update``, ``MergeConfig``, ``ImportState``); OpenTofu language.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from sigsrv.model.lasting import Change, Config, IncusObject, Known
from sigsrv.model.names import bad_character

_WIDTH = 76  # the terminal shows the text with an indent
_KINDS = {"volume": "storage_volume", "pool": "storage_pool"}  # kinds whose resource has another name
# Keys that Incus computes. The provider keeps them if a resource does not name them.
_COMPUTED = {
    "network": ("volatile.",),
    "instance": ("volatile.", "image.", "oci.", "environment."),
    "volume": ("volatile.",),
    "pool": ("volatile.",),
}
# Further keys of a network that the provider keeps if the resource does not name them: leaving them out does not unset them.
_STICKY = ("bridge.mtu", "ipv4.address", "ipv4.nat", "ipv6.address", "ipv6.nat", "tunnel.")
_MEMBER_KEYS = re.compile(r"bgp\.ipv[46]\.nexthop|bridge\.external_interfaces|parent|tunnel\.[^.]+\.(interface|local)")
_RUNNING = ("Running", "Ready", "Stopped")
_CONTENT_TYPES = ("", "filesystem", "block")
_NETWORK_TYPES = ("bridge", "macvlan", "sriov", "ovn", "physical")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text: str) -> str:
    """Return a text as an HCL string: in quotes, on one line, without template sequences."""
    found = "".join(_ESCAPES.get(each) or (each if each.isprintable() else _code(each)) for each in text)
    return '"' + found.replace("${", "$${").replace("%{", "%%{") + '"'


def _code(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def opentofu(changes: Sequence[Change], known: Known | None) -> str:
    """Return the text for some changes; "" for none. known: what was read of the objects, None for nothing."""
    servers = [change for change in changes if change.kind == "server"]
    parts = [_server(member, servers) for member in dict.fromkeys(each.member for each in servers)]
    parts += [_Text(change, known).whole() for change in changes if change.kind != "server"]
    return "\n".join(part for part in parts if part)


def _server(member: str, changes: Iterable[Change]) -> str:
    """Return the resource of the server's own keys, or of one member's. The provider changes only the keys that it names."""
    pairs = {key: value for each in changes if each.member == member for key, value in each.set.items()}
    kept = {key: value for key, value in pairs.items() if value}
    lines = []
    if kept:
        lines += _comment("A resource incus_server changes only the keys that it names.")
        lines += [f'resource "incus_server" "{_label(member or "cluster")}" {{']
        lines += [f"  target = {quoted(member)}"] if member else []
        lines += [*_config(kept, {}), "}"]
    where = f" with target = {quoted(member)}" if member else ""
    for key in pairs.keys() - kept.keys():
        lines += _comment(f"If a resource incus_server{where} sets {quoted(key)}, remove that line from it.")
    return "\n".join([*lines, ""])


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _label(*words: str) -> str:
    """Return the name of a block: letters, digits, ``_`` and ``-``, not a digit first."""
    found = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(words))
    return found if re.match("[A-Za-z_]", found) else f"_{found}"


def _config(config: Config, variables: Mapping[str, str]) -> list[str]:
    """Return the lines of the attribute ``config``. variables: the name of the variable of each secret key."""
    rows = _aligned((quoted(key), _value(key, value, variables)) for key, value in sorted(config.items()))
    return ["  config = {", *(f"    {row}" for row in rows), "  }"] if rows else []


def _aligned(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return ``NAME = VALUE`` lines, aligned as tofu fmt aligns them."""
    rows = list(pairs)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:{width}} = {value}" for name, value in rows]


def _value(key: str, value: str | None, variables: Mapping[str, str]) -> str:
    return f"var.{variables[key]}" if value is None else quoted(value)


class _Text:
    """The text for one change of an object."""

    def __init__(self, change: Change, known: Known | None) -> None:
        self._change = change
        self._known = known
        self._now = known.object_of(change) if known else None

    def whole(self) -> str:
        now, what = self._now, self._what()
        if now and not self._change.changes(now):
            return ""
        reason = "sigsrv did not read it" if now is None else self._reason(now)
        patch = self._patch(now)
        lines = _comment(f"If a resource manages {what} already, change only these lines in it:")
        lines += [f"#   {line}" for line in patch]
        lines += self._remarks(now)
        if now is None or reason:
            lines += _comment(f"There is no complete resource here for {what}: {reason}.")
        else:
            has = "It has the keys of this member." if now.member else f"It has all that the {now.kind} has now:"
            why = "" if now.member else " OpenTofu removes what a resource leaves out."
            lines += _comment(f"If no resource does, add this one. {has}{why}")
            lines += self._complete(now)
        return "\n".join([*lines, ""])

    def _what(self) -> str:
        change, now = self._change, self._now
        name = "/".join(part for part in (change.pool, change.project, change.name) if part)
        member = now.member if now else change.host
        return f"{change.kind} {quoted(name)}" + (f" on member {quoted(member)}" if member else "")

    def _reason(self, now: IncusObject) -> str:
        """Return why the provider can't manage the object without harm, or why it can't be written; "" if it can."""
        values = [now.name, now.project, now.pool, now.member, now.description, *now.profiles]
        for config in (now.config, *now.devices.values()):
            values += [word for pair in config.items() for word in pair if word is not None]
        if any(bad_character(value.replace("\n", "").replace("\t", "")) for value in values):
            return "one of its values has a character that no text can show"
        if set(now.name + now.project + now.pool + now.member) & set("/,:="):
            return "the provider can't import an object with this name"
        if now.kind == "instance" and now.status not in _RUNNING:
            return f"the provider would stop an instance whose status is {now.status or 'unknown'}"
        if now.kind == "volume" and now.type not in _CONTENT_TYPES:
            return f"the provider knows no volumes with content type {now.type}"
        if now.has_twin:
            return "another member has a volume of this name, and the provider can't distinguish them"
        return ""

    def _patch(self, now: IncusObject | None) -> list[str]:
        """Return the lines to remove (-) and to add (+) in a resource."""
        if now is None:
            return self._blind_patch()
        before = now.config
        after = self._change.config(before)
        rows = []
        for key in self._change.keys:
            old, new = before.get(key), after.get(key)
            if old == new and old is not None:
                rows.append(f"    {quoted(key)} = {quoted(old)}")
                continue
            rows += [f"-   {quoted(key)} = {quoted(old)}"] if old is not None else []
            rows += [f"+   {quoted(key)} = {quoted(new)}"] if new is not None else []
        lines = ["  config = {", *rows, "  }"] if rows else []
        devices = self._change.changed_devices(now)
        for name in self._change.devices:
            lines += [f"- {line}" for line in _device(name, now.devices.get(name), {})]
            lines += [f"+ {line}" for line in _device(name, devices.get(name), {})]
        return [*lines, *(f"+ {line}" for line in _LIFECYCLE if now.member)]

    def _blind_patch(self) -> list[str]:
        """Return the lines to change in a resource of an object that was not read."""
        change = self._change
        rows = [f"+   {quoted(key)} = {quoted(value)}" for key, value in change.set.items() if value]
        rows += [f"-   {quoted(key)} = ..." for key, value in change.set.items() if not value]
        rows += [f"    {quoted(key)}: add {quoted(','.join(words))}" for key, words in change.add.items()]
        rows += [f"    {quoted(key)}: remove {quoted(','.join(words))}" for key, words in change.remove.items()]
        lines = ["  config = {", *rows, "  }"] if rows else []
        for name, device in change.devices.items():
            lines.append(f"- device {{ name = {quoted(name)} ... }}" if device.is_gone else f"  device {quoted(name)}:")
            new = {"type": device.type, **device.set} if device.type else device.set
            lines += [] if device.is_gone else [f"+   {quoted(key)} = {quoted(value)}" for key, value in new.items()]
        return lines

    def _remarks(self, now: IncusObject | None) -> list[str]:
        lines = []
        stuck = [key for key, value in self._change.set.items() if not value and key.startswith(_STICKY)]
        if self._change.kind == "network" and stuck:
            lines += _comment(
                f"The provider never unsets {', '.join(stuck)}: the script of this fix does, and it lasts."
            )
        if now and now.member:
            lines += _comment(
                "The script of this fix sets the key, and Incus keeps it. The provider must not update this resource: "
                "it would remove all other keys of the network, on every member."
            )
        if self._change.kind == "instance" and self._known:
            lines += self._profiles(now, self._known)
        return lines

    def _profiles(self, now: IncusObject | None, known: Known) -> list[str]:
        """Return the change of the profiles that give the keys, for an instance that has none of its own."""
        change, lines = self._change, []
        found = {
            key: given
            for key in change.set
            if (now is None or key not in now.config) and (given := known.giver(change.project, change.name, key))
        }
        for profile in dict.fromkeys((each.project, each.profile) for each in found.values()):
            rows = []
            for key, given in found.items():
                if (given.project, given.profile) == profile:
                    users = given.users
                    rows += [f"-   {quoted(key)} = {quoted(given.value)}"] if given.value is not None else []
                    rows += [f"+   {quoted(key)} = {quoted(change.set[key])}"] if change.set[key] else []
            count = f"{users} instances have" if users != 1 else "1 instance has"
            lines += _comment(
                f"Profile {quoted('/'.join(profile))} gives this; {count} it. To change them all, change its resource:"
            )
            lines += [f"#   {line}" for line in ("  config = {", *rows, "  }")]
        return lines

    def _complete(self, now: IncusObject) -> list[str]:
        """Return the import block, the resource and the variables for its secrets."""
        resource = f"incus_{_KINDS.get(now.kind, now.kind)}"
        project = now.project if now.project != "default" else ""
        label = _label(*(word for word in (project, now.pool, now.name, now.member) if word))
        config, devices = self._kept(now), self._change.changed_devices(now)
        variables = {key: _label(label, key) for key, value in config.items() if value is None}
        secrets = {
            name: {key: _label(label, name, key) for key, value in device.items() if value is None}
            for name, device in devices.items()
        }
        lines = [
            "import {",
            f"  to = {resource}.{label}",
            f"  id = {quoted(_import_id(now))}",
            "}",
            "",
            f'resource "{resource}" "{label}" {{',
            *(f"  {row}" for row in _aligned(_attributes(now))),
            *_config(config, variables),
        ]
        for name, device in sorted(devices.items()):
            lines += [f"  {line}" for line in _device(name, device, secrets[name])]
        lines += [f"  {line}" for line in _LIFECYCLE if now.member]
        if now.kind == "instance":  # whether it runs when the change is applied is not known here
            lines += ["  lifecycle {", "    ignore_changes = [running]", "  }"]
        lines.append("}")
        for name in [*variables.values(), *(each for rows in secrets.values() for each in rows.values())]:
            lines += ["", "# sigsrv does not keep secrets: give it the value that it has now."]
            lines += [f'variable "{name}" {{', "  type      = string", "  sensitive = true", "}"]
        return lines

    def _kept(self, now: IncusObject) -> dict[str, str | None]:
        """Return the configuration that the resource has, with the change."""
        after = self._change.config(now.config)
        computed = _COMPUTED.get(now.kind, ())
        return {
            key: value
            for key, value in after.items()
            if (key in self._change.keys or not key.startswith(computed))
            and not (now.member and not _MEMBER_KEYS.fullmatch(key))
            and not (now.kind == "network" and value == "auto")  # the provider refuses it; Incus has chosen a value
        }


# The provider updates a resource with target only with all keys of the network at once.
_LIFECYCLE = ("lifecycle {", "  ignore_changes = [config]", "}")


def _import_id(now: IncusObject) -> str:
    if now.kind in ("project", "pool"):
        return now.name
    path = "/".join(part for part in (now.project, now.pool, now.name) if part)
    return f"{path},target={now.member}" if now.member else path


def _attributes(now: IncusObject) -> list[tuple[str, str]]:
    """Return the attributes of a resource other than its configuration, as HCL."""
    rows = [("name", quoted(now.name))]
    rows += [("pool", quoted(now.pool))] if now.pool else []
    rows += [("project", quoted(now.project))] if now.project else []
    rows += [("target", quoted(now.member))] if now.member else []
    rows += [("description", quoted(now.description))] if now.description and not now.member else []
    if now.kind == "pool":
        rows.append(("driver", quoted(now.type)))
    elif now.kind == "volume":
        rows += [("content_type", quoted(now.type))] if now.type else []
    elif now.kind == "instance" or (now.kind == "network" and now.type in _NETWORK_TYPES):
        rows.append(("type", quoted(now.type)))
    if now.kind == "instance":
        rows.append(("ephemeral", "true" if now.is_ephemeral else "false"))
        rows.append(("profiles", f"[{', '.join(quoted(name) for name in now.profiles)}]"))
    return rows


def _device(name: str, device: Config | None, variables: Mapping[str, str]) -> list[str]:
    """Return the block of a device; nothing for None."""
    if device is None:
        return []
    rows = _aligned(
        (quoted(key), _value(key, value, variables) if value is not None or variables else "(secret)")
        for key, value in sorted(device.items())
        if key != "type" and value != ""
    )
    properties = ["  properties = {", *(f"    {row}" for row in rows), "  }"] if rows else ["  properties = {}"]
    return ["device {", f"  name = {quoted(name)}", f"  type = {quoted(device.get('type') or '')}", *properties, "}"]
