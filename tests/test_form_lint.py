"""Tests that lint finds the mistakes in forms, with file, line and the nearest name."""

from __future__ import annotations

import pytest
import yaml

from sigsrv.authoring import form_lint
from sigsrv.authoring.fact_paths import FACTS, NoFact, scope_of
from sigsrv.authoring.lint import lint
from sigsrv.judge import examined
from sigsrv.model import policy, remediation

SHIPPED, REMEDIATIONS = policy.load(), remediation.load()
HEAD = """\
id: SITE-001
title: Something is made up
severity: low
why: Because somebody made it up.
controls: {nist-800-53r5: [CM-2], cis-v8: []}
source: [somewhere]
examples:
  compliant: [{name: made up, change: [{op: test, path: /version}], expect: {}}]
  violating: [{name: made up, change: [{op: test, path: /version}], expect: {}}]
"""
LINES = len(HEAD.splitlines())


def write(folder, text):
    """Write a policy with a form, and add what every policy needs."""
    path = folder / "site" / "SITE-001.yaml"
    path.parent.mkdir(exist_ok=True)
    content = yaml.safe_load(text)
    needed = {"expected": "what is right", "by_hand": "Change it on the host."}
    more = {key: value for key, value in needed.items() if key not in content}
    if "remediation" in content:
        del more["by_hand"]
    path.write_text(HEAD + text + yaml.safe_dump(more))
    return path


def mistakes(folder, text):
    """Return the mistakes in a policy, without the file's name; lines are counted from the first one of the text."""
    path = write(folder, text)
    one = policy.read(path)
    shown = []
    for each in form_lint.mistakes(one, {**SHIPPED, "SITE-001": one}, REMEDIATIONS):
        number, _, message = each.message.removeprefix(f"{path}:").partition(": ")
        shown.append(f"{int(number) - LINES}: {message}" + (f" ({each.hint})" if each.hint else ""))
    return shown


WRONG = [
    ("host", "threshold: {fact: machine.load15, at_most: 2, unit: '{machine.cpus}'}", "this text has no {PATH}"),
    ("instance", "joined: {must: {fact: entry.kind, one_of: [user, usr]}}", 'usr'),
    # paths
    ("host", "threshold: {fact: machine.cpsu, at_least: 1}", '1: threshold.fact: machine.cpsu: MachineFacts has no fact "cpsu" (did you mean "cpus"?)'),  # noqa: E501
    ("instance", "threshold: {fact: snapshotz, at_least: 1}", 'Instance has no fact "snapshotz" (did you mean "snapshots"?)'),
    ("network", "listed: {fact: name.x, one_of: [a]}", 'listed.fact: name.x: a text has no "x"'),
    ("network", "listed: {fact: locations.0, one_of: [a]}", 'a list has no "0"'),
    ("host", "threshold: {fact: storage.usage, at_least: 1}", "StorageFacts.usage needs arguments"),
    ("instance", "threshold:\n  fact: usage.memory_byte\n  at_most: 1", '2: threshold.fact: usage.memory_byte: InstanceUsage has no fact "memory_byte"'),  # noqa: E501
    ("instance", 'listed: {fact: expanded_config.security.privilged, one_of: ["a"]}', 'an instance has no configuration key "security.privilged" (did you mean "security.privileged"?)'),  # noqa: E501
    ("instance", "listed: {fact: expanded_devices.eth0.netwrk, one_of: [a]}", 'a device has no configuration key "netwrk" (did you mean "network"?)'),  # noqa: E501
    ("instance", "threshold: {when: [{fact: stauts, is: Running}], fact: usage.processes, at_most: 1}", 'threshold.when[0].fact: stauts: Instance has no fact "stauts" (did you mean "status"?)'),  # noqa: E501
    ("instance", "threshold: {when: {fact: stauts, is: Running}, fact: usage.processes, at_most: 1}", "threshold.when.fact: stauts"),
    ("instance", "{needs: {that: {fact: entry.kidn, is: user}, otherwise: x}, keys: {must: {limits.cpu: a}}}", 'needs.that.fact: entry.kidn: SiteProject has no fact "kidn"'),  # noqa: E501
    ("host", "threshold: {fact: machine.cpus, at_least: {site: thresholds.x}}", 'threshold.at_least: site: thresholds.x: Thresholds has no fact "x"'),  # noqa: E501
    ("image", "listed: {fact: fingerprint, one_of: {entry: names}}", "the site file has no entries for resources of this kind"),
    ("host", "threshold: {fact: machine.cpus, at_least: {fact: machine.cpsu}}", 'threshold.at_least: machine.cpsu: MachineFacts has no fact "cpsu"'),  # noqa: E501
    ("pool", "threshold: {fact: free_persent, at_least: 1}", 'PoolFacts has no fact "free_persent" (did you mean "free_percent"?)'),
    # operators and types
    ("pool", 'threshold: {fact: free, at_least: "1GiB"}', "at_least compares with a number, and this is a text"),
    ("pool", "threshold: {fact: status, at_least: 1}", "status is a text: at_least compares numbers"),
    ("network", "threshold: {fact: name, at_least: 1}", "threshold.at_least: name is a text: at_least compares numbers (a configuration value is text"),  # noqa: E501
    ("host", "threshold: {fact: machine.apparmor, at_most: 1}", "machine.apparmor is true or false: at_most compares numbers"),
    ("host", 'threshold: {fact: machine.cpus, at_least: "4"}', "at_least compares with a number, and this is a text"),
    ("host", "threshold: {fact: machine.cpus, at_least: {site: name}}", "at_least compares with a number, and this is a text"),
    ("network", "listed: {fact: name, within: [a]}", "listed.within: name is a text: within compares a list (single values: is, is_not, one_of, none_of)"),  # noqa: E501
    ("network", "listed: {fact: name, has: a}", "listed.has: name is a text: has compares a list"),
    ("network", "listed: {fact: locations, one_of: [a]}", "locations is a list: one_of compares a single value (lists: has, lacks, within or covers)"),  # noqa: E501
    ("network", "listed: {fact: name, one_of: a}", "one_of compares with a list, and this is a text (write it in brackets: [a, b])"),
    ("network", "listed: {fact: locations, covers: {site: name}}", "covers compares with a list, and this is a text"),
    # values that a fact never has
    ("network", "joined: {must: {fact: managed, is: yes please}}", "joined.must.is: managed is true or false, and never yes please"),
    ("network", "joined: {must: {fact: name, is: 5}}", "name is a text, and never 5 (write it in quotes)"),
    ("network", "joined: {must: {fact: status, is: no}}", "status is a text, and never false (write it in quotes)"),
    ("host", 'joined: {must: {fact: machine.cpus, is_not: "4"}}', "machine.cpus is a number, and never 4"),
    ("network", "joined: {must: {fact: name, is: null}}", "name is never null"),
    ("network", "listed: {fact: name, none_of: [a, 5]}", "listed.none_of: name is a text, and never 5"),
    ("network", "listed: {fact: locations, within: [a, 5]}", "an item of locations is a text, and never 5"),
    ("network", "joined: {must: {fact: locations, is: a}}", "locations is a list, and never a"),
    # texts
    ("instance", 'devices: {types: [usb], shows: "{vendrid}"}', 'devices.shows: a device has no configuration key "vendrid" (did you mean "vendorid"?)'),  # noqa: E501
    ("host", 'threshold: {fact: machine.cpus, at_least: 1, text: "{machine.cpsu} CPUs"}', "threshold.text: {machine.cpsu}: MachineFacts"),
    ("host", 'threshold: {fact: machine.cpus, at_least: 1, text: "{Machine} CPUs"}', "threshold.text: {Machine} is not the path of a fact"),
    ("host", 'threshold: {fact: machine.cpus, at_least: 1, text: "{wrong}"}', "only a fault has {wrong}"),
    ("host", 'shows: "{nme}"\nthreshold: {fact: machine.cpus, at_least: 1}', '1: shows: {nme}: HostFacts has no fact "nme"'),
    ("host", 'threshold: {fact: machine.cpus, at_least: 1}\nexpected: "{nme}"', '2: expected: {nme}: HostFacts has no fact "nme"'),
    ("host", 'needs: {that: {fact: name, is_not: a}, otherwise: "{nme}"}\nthreshold: {fact: machine.cpus, at_least: 1}', "1: needs.otherwise: {nme}"),  # noqa: E501
    # keys and devices of Incus
    ("instance", "keys: {must: {security.nesting: flase}}", 'security.nesting is true or false, and never flase (did you mean "false"?)'),
    ("instance", "keys: {must: {security.nesting: {one_of: ['false', of]}}}", "security.nesting is true or false, and never of"),
    ("instance", "keys: {must: {limits.cpu: {set: '2'}}}", "keys.must.limits.cpu: nothing says what the key must be (add is, one_of, like, in or above)"),  # noqa: E501
    ("instance", "keys: {when: {fact: type, is: container}}", "keys: the form asks nothing of any key"),
    ("instance", "keys: {must: {limits.cpu: a}, live: [limits.memory]}", "keys.live[0]: limits.memory is none of the keys in must"),
    ("project", "keys: {must: {limits.cpu: a}, live: [limits.cpu]}", "live counts only for instances"),
    ("acl", "keys: {must: {limits.cpu: a}}", 'keys: config: NetworkAcl has no fact "config"'),
    ("instance", "keys: {of: configs, must: {limits.cpu: a}}", 'keys.of: configs: Instance has no fact "configs" (did you mean "config"?)'),
    ("instance", "keys: {of: name, must: {limits.cpu: a}}", "name is a text, and has no configuration keys"),
    ("instance", "keys: {must: {limits.cpu: a}, effect: {fact: is_unmaped, is: false}}", 'keys.effect.fact: is_unmaped: Instance has no fact "is_unmaped"'),  # noqa: E501
    ("instance", "keys: {must: {limits.cpu: {is: a, unless: {fact: kind, is: a}}}}", 'keys.must.limits.cpu.unless.fact: kind: Instance has no fact "kind"'),  # noqa: E501
    ("instance", "keys: {must: {limits.cpu: a}, refuse: {when: {fact: may_rn, is: true}, text: x}}", 'keys.refuse.when.fact: may_rn: Instance has no fact "may_rn"'),  # noqa: E501
    ("instance", "devices: {types: [disk], allowed: {path: {is: a, set: b}}}", "unless and set count only in the form keys"),
    ("instance", "devices: {types: [disk], only: {type: dsik}}", 'Incus has no device of type dsik (did you mean "disk"?)'),
    ("instance", "devices: {types: [disk], listed: paths}", "devices.listed"),
    ("instance", "devices: {types: [disk], listed: proxies}", "proxies allows only devices of type proxy"),
    ("project", "devices: {types: [disk]}", "only instances have devices, and the policy examines project"),
    # joins and roots
    ("bridge", "joined: {each: bridges, with: {network: {in: network.links}}, must: {fact: network.mtu, at_least: 1}}", "joined.with.network: network is already the name of a fact"),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {site: {in: network.links}}, must: {fact: site.mtu, at_least: 1}}", "joined.with.site: site is already the name of a fact"),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {link: {in: network.link}}, must: {fact: link.mtu, at_least: 1}}", 'joined.with.link.in: network.link: NetworkFacts has no fact "link" (did you mean "links"?)'),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {link: {in: machine.cpus}}, must: {fact: link.mtu, at_least: 1}}", "machine.cpus is a number: nothing in it has a name"),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {link: {in: network.links}}, must: {fact: link.mut, at_least: 1}}", 'joined.must.fact: link.mut: Link has no fact "mut" (did you mean "mtu"?)'),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {link: {in: network.links, at: {entry: vln}}}, must: {fact: link.mtu, at_least: 1}}", 'SiteBridge has no fact "vln" (did you mean "vlan"?)'),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {link: {in: network.links, missing: '{entry.nme}'}}, must: {fact: link.mtu, at_least: 1}}", "joined.with.link.missing: {entry.nme}"),  # noqa: E501
    ("bridge", "joined: {each: pools, must: {fact: entry.driver, is: dir}}", "pools of the site file do not belong to resources of kind bridge"),  # noqa: E501
    ("bridge", "threshold: {fact: mtu, at_least: 1, root: NET-04}", 'threshold.root: there is no policy NET-04 (did you mean "NET-004"?)'),
    ("bridge", "threshold: {fact: mtu, at_least: 1, root: 'POOL-01@{scope.name}/{name}'}", "there is no policy POOL-01 "),
    ("bridge", "threshold: {fact: mtu, at_least: 1, root: 'POOL-001@{scope.nme}/{name}'}", "threshold.root: {scope.nme}"),
    ("bridge", "threshold: {fact: mtu, at_least: 1, root: SITE-001}", "a policy can't be its own root"),
    ("bridge", "threshold: {fact: mtu, at_least: 1, root: POOL-001}", "POOL-001 examines pool, and this policy bridge"),
    ("bridge", "needs: {that: {fact: mtu, is: 5}, otherwise: x, root: NET-04}\nthreshold: {fact: mtu, at_least: 1}", "1: needs.root: there is no policy NET-04"),  # noqa: E501
    ("bridge", "needs: {that: {fact: mtu, is: 5}, otherwise: x, verdict: reported}\nthreshold: {fact: mtu, at_least: 1}", "1: needs.verdict: nothing says which policy reports it (add root:)"),  # noqa: E501
    ("bridge", "joined: {each: bridges, with: {link: {in: network.links, root: NET-04}}, must: {fact: link.mtu, at_least: 1}}", "joined.with.link.root: there is no policy NET-04"),  # noqa: E501
    # fix
    ("bridge", "threshold: {fact: mtu, at_least: 1}\nfix: {bridge: {fact: name}}", "2: fix: no remediation uses these values"),
    ("bridge", "threshold: {fact: mtu, at_least: 1}\nremediation: raise-links\nfix: {bridg: {fact: name}}", '3: fix.bridg: raise-links has no parameter bridg (did you mean "bridge"?)'),  # noqa: E501
    ("bridge", "threshold: {fact: mtu, at_least: 1}\nremediation: raise-links\nfix: {bridge: {fact: name}}", "3: fix: no value for extra_ports, interface, parent, siblings, which raise-links needs"),  # noqa: E501
    ("bridge", "threshold: {fact: mtu, at_least: 1}\nremediation: raise-links", "2: remediation: no value for bridge, extra_ports, interface, parent, siblings"),  # noqa: E501
    ("bridge", "threshold: {fact: mtu, at_least: 1, fixes: bridg}\nremediation: raise-links", "1: threshold.fixes: raise-links has no parameter bridg"),  # noqa: E501
    ("bridge", "threshold: {fact: mtu, at_least: 1, fixes: bridge}\nremediation: raise-links", "2: remediation: no value for extra_ports, interface, parent, siblings"),  # noqa: E501
    ("bridge", "threshold: {fact: mtu, at_least: 1}\nremediation: raise-links\nfix: {bridge: {fact: nme}, interface: a, parent: b}", 'fix.bridge: nme: Link has no fact "nme"'),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("examines", "text", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_a_mistake_in_a_form_is_found(tmp_path, examines, text, message):
    """The message says where it is, what is wrong, and the nearest name."""
    text = yaml.safe_dump(yaml.safe_load(text)) if text.startswith("{") else text + "\n"

    found = mistakes(tmp_path, f"{text}examines: {examines}\n")

    assert any(message in each for each in found), found


@pytest.mark.parametrize(
    ("examines", "text"),
    [
        ("instance", "keys: {must: {user.backup: a, security.bpffs.*: a, volatile.eth0.hwaddr: {like: ['*']}}}"),
        ("instance", "listed: {fact: expanded_config.user.backup, one_of: [a]}"),
        ("instance", "joined: {must: {fact: entry, is_not: null}}"),
        ("instance", "joined: {must: {fact: expanded_config.limits.cpu, is: null}}"),
        ("instance", "threshold: {fact: usage.memory_bytes, at_most: 1, unknown: '{name} does not say'}"),
        ("network", "joined: {must: {fact: managed, is: true}}"),
        ("bridge", "threshold: {fact: mtu, at_least: 1, root: 'POOL-001@{scope.name}/{name}'}"),
        ("network", "joined: {must: {fact: locations, is: []}}"),
        ("network", "listed: {fact: name, one_of: {site: networks}}"),
        ("host", "threshold: {fact: machine.load15, at_most: 1.5, text: '{scope.name} {site.thresholds.load_per_cpu}'}"),
        ("bridge", "joined: {each: bridges, with: {link: {in: network.links, at: {entry: vlan.interface}, root: NET-004}},"
                   " must: [{fact: link.mtu, at_least: {entry: mtu}}, {fact: entry.vlan.kinds, has: vlan}]}"),
        ("pool", "joined: {each: pools, with: {pool: {in: incus.pools}}, must: {fact: pool.config.source, is: {entry: config.source}}}"),
        ("instance", "devices: {types: [disk], only: {pool: ''}, allowed: {source: {like: ['a*']}}, listed: host_paths, shows: '{source}'}"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_form_without_mistakes_passes(tmp_path, examines, text):
    """Keys of the site's own, keys with any name in them, and facts that may have no value are right."""
    assert mistakes(tmp_path, f"{text}\nexamines: {examines}\n") == []


def test_the_shipped_policies_have_no_mistakes():
    """Many of them have forms."""
    found = [str(each) for one in SHIPPED.values() for each in form_lint.mistakes(one, SHIPPED, REMEDIATIONS)]

    assert found == []
    assert sum(bool(each.forms.names) for each in SHIPPED.values()) >= 8


def test_lint_runs_it(tmp_path):
    """``sigsrv policies lint`` shows these mistakes with the others."""
    path = write(tmp_path, "examines: host\nthreshold: {fact: machine.cpsu, at_least: 1}\n")

    (mistake,) = lint([tmp_path])[1]

    assert mistake.message.startswith(f"{path}:{LINES + 2}: threshold.fact: machine.cpsu: ")


def test_each_kind_that_forms_can_examine_has_its_facts():
    """The table of classes is the one of the engine, and the values have these classes."""
    assert set(FACTS) == examined.KINDS
    assert all(isinstance(kind, type) for kind in FACTS.values())


@pytest.mark.parametrize("kind", sorted(FACTS))
def test_types_and_values_agree(kind):
    """Each fact that lint accepts is one that the engine finds: both read the same classes."""
    from sigsrv.authoring.fact_types import attributes
    from sigsrv.judge.form_values import attributes as at_run_time

    facts = {each.name for each in attributes(FACTS[kind]) if each.signature is None}

    assert facts <= at_run_time(FACTS[kind])


def test_the_path_of_a_mistyped_key_is_none():
    """A configuration that Incus does not know by class, such as that of the site file, takes any key."""
    scope = scope_of(SHIPPED["INST-002"])

    assert scope.follow("site.bridges").hint
    with pytest.raises(NoFact):
        scope.follow("expanded_config.nope")
