"""Tests that a rule is compared with the facts: each name, type and value that no resource has is a mistake with its place."""

# ruff: noqa: E501  one case is one line
from __future__ import annotations

import dataclasses

import pytest
import yaml

from sigsrv.authoring import document, lint
from sigsrv.facts import config
from sigsrv.judge import examined, rule_schema
from sigsrv.judge.evaluate import evaluate
from sigsrv.judge.fact_schema import fact_of, named, value_mistakes
from sigsrv.judge.require import Require
from sigsrv.model import policy
from sigsrv.model.finding import Verdict

POLICIES = policy.load()


def policy_with(kind="instance", **changes):
    return dataclasses.replace(POLICIES["PROJ-001"], **{"examines": kind, "match": {}, "observe": ""} | changes)


def mistakes_of(text, kind="instance", key="rule"):
    """Return the mistakes of a rule, or of ``match``, written in YAML: place, message and hint in one line each."""
    found = policy_with(kind, **{"rule": {}, key: yaml.safe_load(text)})
    return [f"{'.'.join(map(str, each.place))}: {each.message} ({each.hint})" for each in rule_schema.mistakes(found)]


def idle(text, kind="instance", key="rule"):
    found = policy_with(kind, **{"rule": {"required": ["name"], "minProperties": 1}, key: yaml.safe_load(text)})
    return [each.message for each in rule_schema.idle(found)]


@pytest.mark.parametrize("kind", sorted(examined.KINDS))
def test_each_resource_of_the_example_document_fits_the_schema_of_its_kind(kind):
    """The schema is derived from the classes, and the facts have the same names, types and values."""
    site, hosts = document.example_facts()
    on_hosts = kind in examined.ON_A_HOST
    views = hosts.values() if on_hosts else [document_cluster(hosts)]
    found = [
        row for view in views for row in examined.resources(kind, view, Require(policy_with(kind), site, "a", "a"))
    ]

    assert found
    for _, resource, facts in found:
        assert list(value_mistakes(facts, rule_schema.schema_of(kind), ())) == [], resource
        assert set(facts) == set(rule_schema.schema_of(kind).facts)


def document_cluster(hosts):
    from sigsrv.facts.clusters import clusters

    (cluster,) = clusters(hosts)
    return cluster


@pytest.mark.parametrize(
    ("kind", "rule", "mistake"),
    [
        # names of facts
        ("instance", "properties: {expanded_confg: {}}", 'rule.properties.expanded_confg: an instance has no fact "expanded_confg" (did you mean "expanded_config"?)'),
        ("instance", "required: [expanded_confg]", 'rule.required.0: an instance has no fact "expanded_confg"'),
        ("acl", "properties: {rules: {items: {properties: {acton: {const: drop}}}}}", 'an entry of rules has no fact "acton" (did you mean "action"?)'),
        ("acl", "properties: {rules: {contains: {required: [acton]}}}", 'rule.properties.rules.contains.required.0: an entry of rules has no fact "acton"'),
        ("acl", "properties: {rules: {prefixItems: [{required: [acton]}]}}", 'prefixItems.0.required.0: an entry of rules has no fact "acton"'),
        ("host", "properties: {server: {properties: {verson: {const: '7'}}}}", 'server has no fact "verson" (did you mean "version"?)'),
        ("host", "properties: {srver: {properties: {version: {const: '7'}}}}", 'a host has no fact "srver" (did you mean "server"?)'),
        ("instance", "anyOf: [{required: [nmae]}, {required: [nam]}]", 'rule.anyOf.1.required.0: an instance has no fact "nam"'),
        ("instance", "allOf: [{not: {oneOf: [{required: [nmae]}]}}]", "rule.allOf.0.not.oneOf.0.required.0"),
        ("instance", "if: {required: [nmae]}\nthen: {required: [name]}", "rule.if.required.0"),
        ("instance", "if: {required: [name]}\nthen: {required: [nmae]}\nelse: {required: [nam]}", "rule.else.required.0"),
        ("instance", "dependentRequired: {nmae: [name]}", 'has no fact "nmae"'),
        ("instance", "dependentRequired: {name: [nmae]}", "rule.dependentRequired.name.0"),
        ("instance", "dependentSchemas: {name: {required: [nmae]}}", "rule.dependentSchemas.name.required.0"),
        ("instance", "patternProperties: {^expandd_: {type: object}}", "no name in an instance matches this pattern"),
        ("instance", "patternProperties: {^expanded_: {type: string}}", "never of type string"),
        ("instance", "patternProperties: {'[': {type: string}}", "not a regular expression"),
        ("instance", "propertyNames: {enum: [name, nmae]}", 'a name in an instance is never "nmae"'),
        ("project", "additionalProperties: false\nproperties: {name: {const: a}}", "a project always has further facts: config"),
        ("project", "additionalProperties: {minimum: 1}", '"minimum" judges only numbers'),
        ("bridge", "properties: {name: {properties: {x: {const: a}}}}", '"properties" judges only objects, but name is text'),
        # types
        ("bridge", "properties: {mtu: {const: '1500'}}", 'mtu is an integer, and never "1500"'),
        ("bridge", "properties: {mtu: {pattern: '^15'}}", '"pattern" judges only text, but mtu is an integer'),
        ("bridge", "properties: {mtu: {enum: [1500, true]}}", "rule.properties.mtu.enum.1: mtu is an integer, and never true"),
        ("bridge", "properties: {mtu: {const: 1500.5}}", "mtu is an integer, and never 1500.5"),
        ("bridge", "properties: {flags: {const: UP}}", 'flags is a list, and never "UP"'),
        ("bridge", "properties: {flags: {contains: {minimum: 1}}}", "an entry of flags is text"),
        ("bridge", "properties: {flags: {minLength: 1}}", "flags is a list"),
        ("bridge", "properties: {master: {type: integer}}", "master is text or null, and never of type integer"),
        ("network", "properties: {managed: {const: 'true'}}", 'managed is boolean, and never "true"'),
        ("network", "properties: {managed: {const: 1}}", "managed is boolean, and never 1"),
        ("network", "properties: {name: {const: null}}", "name is text, and never None"),
        ("certificate", "properties: {projects: {items: {const: 5}}}", "an entry of projects is text, and never 5"),
        ("image", "properties: {created: {minLength: 3}}", "created is a number or null"),
        ("instance", "properties: {snapshots: {items: {type: string}}}", "an entry of snapshots is a number or null, and never of type string"),
        ("instance", "properties: {expanded_devices: {properties: {network: {const: br0}}}}", 'an entry of expanded_devices is an object, and never "br0"'),
        ("instance", "properties: {security.privileged: {const: 'false'}}", '(it is a key of config: put it in the properties of "config")'),
        # null
        ("instance", "properties: {snapshots: {minItems: 1}}", 'snapshots can be null, about which "minItems" says nothing (add type: array, or'),
        ("image", "properties: {created: {minimum: 1}}", "created can be null"),
        ("image", "properties: {server: {pattern: '^https'}}", "server can be null"),
        ("bridge", "properties: {master: {not: {pattern: '^a'}}}", "master can be null"),
        # values
        ("instance", "properties: {type: {const: vm}}", 'type is never "vm" (known: container, virtual-machine)'),
        ("instance", "properties: {type: {enum: [container, virtual_machine]}}", 'rule.properties.type.enum.1: type is never "virtual_machine" (did you mean "virtual-machine"?)'),
        ("instance", "properties: {type: {pattern: '^vm'}}", "type never matches this pattern"),
        ("acl", "properties: {rules: {contains: {properties: {action: {const: deny}}}}}", 'action is never "deny"'),
        ("acl", "properties: {rules: {items: {properties: {direction: {const: in}}}}}", 'direction is never "in"'),
        ("acl", "properties: {rules: {items: {properties: {state: {const: on}}}}}", "state is text, and never true"),
        ("acl", "properties: {rules: {items: {properties: {protocol: {const: TCP}}}}}", 'protocol is never "TCP"'),
        ("volume", "properties: {content_type: {const: blok}}", '(did you mean "block"?)'),
        ("volume", "properties: {used_by: {contains: {properties: {kind: {const: instance}}}}}", '(did you mean "instances"?)'),
        ("certificate", "properties: {type: {const: clients}}", '(did you mean "client"?)'),
        ("network", "properties: {status: {const: created}}", '(did you mean "Created"?)'),
        ("bridge", "properties: {vlan_protocol: {const: 802.1q}}", '(did you mean "802.1Q"?)'),
        ("instance", "properties: {status: {const: running}}", 'status is never "running" (did you mean "Running"?)'),
        ("network", "properties: {type: {enum: [bridge, brige]}}", '(did you mean "bridge"?)'),
        ("pool", "properties: {driver: {const: zf}}", '(did you mean "zfs"?)'),
        ("member", "properties: {status: {const: Onlin}}", '(did you mean "Online"?)'),
        ("member", "properties: {roles: {contains: {const: databse}}}", '(did you mean "database"?)'),
        ("bridge", "properties: {flags: {contains: {const: LOWER-UP}}}", '(did you mean "LOWER_UP"?)'),
        # configuration keys
        ("instance", "properties: {config: {properties: {security.priviledged: false}}}", 'an instance has no configuration key "security.priviledged" (did you mean "security.privileged"?)'),
        ("instance", "properties: {config: {required: [limits.memry]}}", '(did you mean "limits.memory"?)'),
        ("instance", "properties: {config: {propertyNames: {enum: [limits.memry]}}}", 'no configuration key "limits.memry"'),
        ("instance", "properties: {config: {patternProperties: {^securty: {const: 'true'}}}}", "no name in config matches"),
        ("instance", "properties: {expanded_devices: {properties: {eth0: {properties: {netwrok: {const: a}}}}}}", 'a device has no configuration key "netwrok" (did you mean "network"?)'),
        ("instance", "properties: {expanded_devices: {additionalProperties: {required: [netwrok]}}}", 'additionalProperties.required.0: a device has no configuration key "netwrok"'),
        ("instance", "properties: {expanded_devices: {patternProperties: {^eth: {required: [netwrok]}}}}", 'a device has no configuration key "netwrok"'),
        ("instance", "properties: {devices: {additionalProperties: {properties: {type: {const: network}}}}}", 'type is never "network"'),
        ("project", "properties: {config: {properties: {restrcted: {const: 'true'}}}}", '(did you mean "restricted"?)'),
        ("network", "properties: {config: {properties: {ipv4.adress: {const: none}}}}", '(did you mean "ipv4.address"?)'),
        ("pool", "properties: {config: {properties: {zfs.pool_nam: {const: a}}}}", '(did you mean "zfs.pool_name"?)'),
        ("pool", "properties: {config: {properties: {volume.zfs.blocksze: {const: a}}}}", "no configuration key"),
        ("volume", "properties: {config: {properties: {snapshots.shedule: {const: a}}}}", '(did you mean "snapshots.schedule"?)'),
        ("member", "properties: {config: {properties: {scheduler.instances: {const: a}}}}", '(did you mean "scheduler.instance"?)'),
        ("cluster", "properties: {config: {properties: {core.https_adress: {const: a}}}}", '(did you mean "core.https_address"?)'),
        ("host", "properties: {config: {properties: {core.https_adress: {const: a}}}}", '(did you mean "core.https_address"?)'),
        # values of configuration keys
        ("instance", "properties: {config: {properties: {security.privileged: {const: true}}}}", 'security.privileged is text, and never true (write "true", in quotes)'),
        ("instance", "properties: {config: {properties: {limits.cpu: {const: 5}}}}", '(write "5", in quotes)'),
        ("instance", "properties: {config: {properties: {limits.cpu: {minimum: 5}}}}", "a configuration value is text"),
        ("instance", "properties: {config: {properties: {limits.cpu: {type: integer}}}}", "limits.cpu is text, and never of type integer"),
        ("instance", "properties: {expanded_config: {properties: {security.nesting: {const: 'True'}}}}", 'security.nesting is never "True" (did you mean "true"?)'),
        ("instance", "properties: {expanded_config: {properties: {security.nesting: {const: '1'}}}}", "(known: false, true)"),
        ("instance", "properties: {expanded_config: {properties: {security.nesting: {enum: ['true', 'yes']}}}}", 'enum.1: security.nesting is never "yes"'),
        ("instance", "properties: {expanded_devices: {properties: {eth0: {properties: {security.mac_filtering: {const: 'on'}}}}}}", "never"),
        ("instance", "properties: {config: {additionalProperties: {const: 5}}}", "a value in config is text, and never 5"),
        # keywords that decide nothing
        ("instance", "properties: {expanded_config: {}}", "an empty schema accepts any value"),
        ("instance", "if: {required: [name]}", '"if" decides nothing without "then" or "else"'),
        ("instance", "then: {required: [name]}", '"then" decides nothing without "if"'),
        ("bridge", "properties: {flags: {minContains: 2}}", '"minContains" decides nothing without "contains"'),
        ("instance", "anyOf: [{required: [name]}, {properties: {type: {const: container}}}]", "rule.anyOf.0: this alternative always holds"),
    ],
)  # fmt: skip
def test_a_rule_that_no_resource_can_match_is_a_mistake(kind, rule, mistake):
    """The message has the place, what is wrong and the nearest name. Match is compared with the same schema."""
    found = mistakes_of(rule, kind)

    assert any(mistake in line for line in found), found
    assert mistakes_of(rule, kind, "match") == [line.replace("rule.", "match.", 1) for line in found]


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("instance", "properties: {config: {properties: {user.anything: {const: x}, image.os: {const: Debian}}}}"),
        ("instance", "properties: {config: {properties: {environment.HOME: {const: /root}, linux.sysctl.net.ipv4.ip_forward: {const: '1'}}}}"),
        ("instance", "properties: {config: {properties: {volatile.eth0.hwaddr: {pattern: '^10:'}}}}"),
        ("instance", "properties: {config: {properties: {limits.cpu: {type: string, minLength: 1}}, required: [limits.cpu]}}"),
        ("instance", "properties: {expanded_config: {properties: {security.nesting: {enum: ['true']}}}}"),
        ("instance", "properties: {config: {additionalProperties: false, properties: {limits.cpu: true}}}"),
        ("instance", "properties: {config: {patternProperties: {'^security\\.': {const: 'true'}}}}"),
        ("instance", "properties: {config: {patternProperties: {'^user\\.': {maxLength: 9}}}}"),
        ("instance", "properties: {expanded_devices: {additionalProperties: {if: {properties: {type: {const: nic}}}, then: {required: [network]}}}}"),
        ("instance", "properties: {expanded_devices: {propertyNames: {pattern: '^eth'}}}"),
        ("instance", "properties: {profiles: {contains: {const: default}, minContains: 1}}"),
        ("instance", "properties: {usage: {anyOf: [{type: 'null'}, {type: object, properties: {memory_bytes: {maximum: 5}}}]}}"),
        ("instance", "properties: {snapshots: {type: array, minItems: 1}}"),
        ("instance", "properties: {status: {const: SomethingNew}}"),
        ("instance", "properties: {addresses: {minProperties: 1}}"),
        ("network", "properties: {type: {const: something-new}}"),
        ("pool", "properties: {driver: {enum: [nfs, zfs, lvmcluster]}}"),
        ("member", "properties: {status: {enum: [Evacuated, Evacuating, Draining]}}"),
        ("network", "properties: {config: {properties: {bgp.peers.core.asn: {const: '65000'}, tunnel.a.id: {const: '1'}}}}"),
        ("pool", "properties: {config: {properties: {volume.size: {const: 10GiB}, volatile.initial_source: {const: a}}}}"),
        ("project", "properties: {config: {properties: {limits.disk.pool.nvme: {const: 10GiB}}}}"),
        ("member", "properties: {roles: {contains: {const: database}}}"),
        ("instance", "properties: {usage: {type: [object, 'null'], properties: {processes: {minimum: 9, maximum: 1}}}}"),
        ("network", "properties: {config: {properties: {ipv4.nat: false}}}"),
        ("image", "properties: {created: {enum: [5, 5.5, null]}}"),
        ("image", "properties: {created: {type: number, minimum: 1}, server: {type: [string, 'null'], pattern: '^https:'}}"),
        ("bridge", "properties: {mtu: {minimum: 1500, type: integer}, vlan_id: {const: null}}"),
        ("bridge", "properties: {mtu: {const: 1500.0}, gone_at: {type: number}}"),
        ("acl", "properties: {rules: {not: {contains: {properties: {action: {const: allow}}}}}}"),
        ("certificate", "if: {properties: {type: {const: client}}}\nthen: {properties: {restricted: {const: true}}}"),
        ("instance", "properties: {expanded_config: {patternProperties: {'^security\\.': {const: anything}}}}"),
        ("certificate", "properties: {type: {enum: [client, server, metrics]}}"),
        ("cluster", "properties: {server: {properties: {version: {pattern: '^7'}}}, config: {required: [core.https_address]}}"),
    ],
)  # fmt: skip
def test_a_rule_about_facts_that_exist_is_right(kind, rule):
    """Also values that a newer Incus may add, and names that the site chooses."""
    assert mistakes_of(rule, kind) == []
    assert idle(rule, kind) == []


@pytest.mark.parametrize(
    ("kind", "observe", "mistake"),
    [
        ("project", "/config/restrcted", 'a project has no configuration key "restrcted"'),
        ("project", "/confg/restricted", 'a project has no fact "confg"'),
        ("project", "/name/first", 'name is text, so it has no "first"'),
        ("acl", "/rules/first", 'rules is a list, so it has no "first"'),
        ("acl", "/rules/0/acton", 'an entry of rules has no fact "acton"'),
        ("instance", "/expanded_devices/eth0/netwrok", 'a device has no configuration key "netwrok"'),
        ("project", "/config/restricted", ""),
        ("acl", "/rules/0/action", ""),
        ("acl", "/rules", ""),
        ("instance", "/expanded_devices/eth0/network", ""),
        ("instance", "/usage/memory_bytes", ""),
    ],
)
def test_observe_is_a_pointer_to_a_fact_that_exists(kind, observe, mistake):
    """A finding would show "unset" for a mistyped one."""
    found = rule_schema.mistakes(policy_with(kind, rule={}, observe=observe))

    assert [each.message for each in found] == ([mistake] if mistake else [])
    assert all(each.place == ("observe",) for each in found)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{}", "can never fail"),
        ("required: [name, config]", "can never fail"),
        ("required: []", "can never fail"),
        ("type: object", "can never fail"),
        ("properties: {}", "can never fail"),
        ("properties: {type: {enum: [container, virtual-machine]}}", "can never fail"),
        (
            "properties: {expanded_config: {properties: {security.nesting: {enum: ['true', 'false']}}}}",
            "can never fail",
        ),
        ("properties: {config: {properties: {limits.cpu: {type: string}}}}", "can never fail"),
        ("allOf: [{required: [name]}, {type: object}]", "can never fail"),
        ("not: {properties: {type: {const: vm}}}", "can never fail"),
        ("if: {properties: {type: {const: vm}}}\nthen: {properties: {name: {const: a}}}", "can never fail"),
        ("properties: {profiles: {minItems: 0}}", "can never fail"),
        ("properties: {name: false}", "can never pass"),
        ("properties: {type: {const: vm}}", "can never pass"),
        ("not: {required: [name]}", "can never pass"),
        ("not: {}", "can never pass"),
        ("properties: {name: {minLength: 5, maxLength: 3}}", "can never pass"),
        ("allOf: [{properties: {type: {const: vm}}}]", "can never pass"),
        ("anyOf: [{properties: {type: {const: vm}}}, {properties: {name: {type: integer}}}]", "can never pass"),
    ],
)
def test_a_rule_that_decides_nothing_is_a_mistake(rule, message):
    """Every instance complies, or none can."""
    (found,) = idle(rule)

    assert message in found


def test_a_match_that_selects_nothing_is_a_mistake():
    """The policy would be not-applicable everywhere."""
    assert idle("properties: {name: {type: integer}}", key="match") == ["match selects nothing: no instance fits"]


@pytest.mark.parametrize(
    ("example", "mistake"),
    [
        ({"nmae": "a"}, 'examples.violating.0.nmae: a project has no fact "nmae"'),
        ({"name": 5}, "examples.violating.0.name: name is text, and never 5"),
        ({"config": {"restrcted": "true"}}, 'has no configuration key "restrcted"'),
        ({"config": {"restricted": True}}, "restricted is text, and never true"),
        ({"config": {"restricted": "yes"}}, 'restricted is never "yes"'),
        ({"config": None}, "config is an object, and never None"),
        ({"config": {"user.x": "5"}}, ""),
        ({}, ""),
    ],
)
def test_an_example_has_only_facts_that_exist(example, mistake):
    """An example with a mistyped fact would prove the mistyped rule."""
    found = policy_with("project", rule={})
    found.__dict__["examples"] = {"compliant": [{"name": "a"}], "violating": [example]}

    lines = [f"{'.'.join(map(str, each.place))}: {each.message}" for each in rule_schema.example_mistakes(found)]

    assert len(lines) == bool(mistake)
    assert not mistake or mistake in lines[0]


def test_shipped_rules_have_no_mistakes():
    """Neither have their examples."""
    for each in POLICIES.values():
        assert [*rule_schema.mistakes(each), *rule_schema.example_mistakes(each), *rule_schema.idle(each)] == [], (
            each.id
        )


@pytest.mark.parametrize("hint", [bytes, tuple[str, int], complex])
def test_a_fact_that_json_does_not_have_is_refused(hint):
    """A class of facts with such a field can't be examined by a rule before someone decides what it is in JSON."""
    with pytest.raises(TypeError, match="can't examine"):
        fact_of(hint, "a fact")


def test_kinds_are_named_with_their_article():
    """Messages begin with it."""
    assert [named(kind) for kind in ("acl", "host", "image")] == ["an ACL", "a host", "an image"]


def test_booleans_of_the_schema_are_those_that_reading_fills_in():
    """The schema takes them from the same tables."""
    facts = rule_schema.schema_of("instance").facts
    assert facts["expanded_config"].keys.booleans == config.INSTANCE_BOOLEANS.keys()
    assert facts["config"].keys.booleans == frozenset()


@pytest.mark.parametrize(
    ("id_", "old", "new", "mistake"),
    [
        (
            "INST-001",
            "{security.privileged:",
            "{security.priviledged:",
            'keys.must.security.priviledged: an instance has no configuration key "security.priviledged"',
        ),
        (
            "INST-001",
            "live: [security.privileged]",
            "live: [security.priviledged]",
            "keys.live[0]: an instance has no",
        ),
        (
            "INST-003",
            "security.bpffs.*",
            "security.bpfs.*",
            'keys[0].must.security.bpfs.*: an instance has no configuration key "security.bpfs.*"',
        ),
        ("INST-004", "types: [disk]", "types: [dsk]", 'devices.types[0]: Incus has no device of type "dsk"'),
        ("INST-004", "only: {pool:", "only: {pol:", 'devices.only.pol: a device has no configuration key "pol"'),
        (
            "INST-004",
            "- source: {one_of",
            "- sorce: {one_of",
            'devices.allowed[0].sorce: a device has no configuration key "sorce"',
        ),
        (
            "INST-001",
            "match: {",
            "match: {required: [tipe], ",
            'match.required[0]: an instance has no fact "tipe"',
        ),
    ],
)
def test_forms_name_only_keys_that_incus_has(tmp_path, id_, old, new, mistake):
    """Lint reports the line, and without lint the policy is an error, never a pass."""
    text = POLICIES[id_].path.read_text()
    assert old in text
    path = tmp_path / "inst" / f"{id_}.yaml"
    path.parent.mkdir()
    path.write_text(text.replace(old, new, 1))
    wrong = policy.read(path)

    lines = [str(each) for each in lint._rule_mistakes(wrong)]
    found = evaluate([wrong], {}, *document.example_facts())

    assert any(mistake in line for line in lines), lines
    assert {each.verdict for each in found} == {Verdict.ERROR}
