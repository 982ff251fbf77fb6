"""An own cluster without brokers: its properties file, its secrets, its names, its refusals."""

from __future__ import annotations

import json
import os
import string
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kafkaprep import paths
from kafkaprep.catalog.labs import parse_lab
from kafkaprep.cli.lab import command
from kafkaprep.engine.client_properties import (
    ALLOWED,
    BOOTSTRAP,
    LARGEST_BYTES,
    REDACTED,
    is_secret,
    parse_client_properties,
    read_client_properties,
    redacted,
    without_secrets,
)
from kafkaprep.engine.cluster import external as module
from kafkaprep.engine.cluster.choose import choose, external_refusals, fit, target
from kafkaprep.engine.cluster.external import ExternalCluster
from kafkaprep.engine.cluster.install import Installation
from kafkaprep.engine.plan import make_plan
from kafkaprep.engine.prepare import check_clients
from kafkaprep.engine.traffic.client_config import admin_config, consumer_config, producer_config, reader_config
from kafkaprep.engine.traffic.specs import ProducerSpec, read_producer_spec
from kafkaprep.errors import CapabilityMissing, ClusterError, ContentError, KafkaprepError, UsageError
from kafkaprep.model import backends
from kafkaprep.model.lab import Capability, Lab
from kafkaprep.model.settings import Scope, Settings

STOP = threading.Event()
NOBODY = "127.0.0.1:9"
LAB = """\
format_version: 1
title: T
stage: producer
kind: exhibit
goal: G?
cluster: {brokers: 3, partitions: 1}
traffic: {messages: 10}
start: {producer: {linger.ms: "0"}}
exhibit: [{producer: {acks: all}, outcome: kept}]
script: [send: rest, await: all_reported]
promises: [all_arrive]
predict: "?"
hints: [H]
debrief: D
sources: [S]
"""
LOGIN = """\
# how to log in
security.protocol = SASL_PLAINTEXT
sasl.mechanism: PLAIN
  sasl.username=alice
sasl.password=correct horse \\\\ battery\\u0020
! the other kind of comment
"""
# Long and of one kind of character, so that none stands in our own texts by chance.
SECRETS = st.text(string.ascii_letters + string.digits + "+/=:#!%{}[]$é中", min_size=12, max_size=40).map("Zq9".__add__)
SECRET_NAMES = sorted(name for name in ALLOWED if is_secret(name))


def lab_of(text: str = LAB) -> Lab:
    return parse_lab("own", text.encode(), "own.yaml")


# The properties file


def test_a_file_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(LOGIN)
    assert read_client_properties(file) == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "alice",
        "sasl.password": "correct horse \\ battery ",
    }


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("\n\nacks=1", 3, "no such setting of the connection"),
        ("sasl.usernam=x", 1, "Did you mean sasl.username?"),
        ("sasl.username=a\nsasl.username=b", 2, "twice"),
        ("sasl.username", 1, "no `name=value`"),
        ("sasl.username alice", 1, "no `name=value`"),
        ("sasl\\.username=x", 1, "no `name=value`"),
        ("sasl.username=", 1, "empty"),
        ("sasl.password=x ", 1, "ends in white space"),
        ("sasl.password=x\\", 1, "ends in a backslash"),
        ("sasl.password=a\\qb", 1, "For a backslash write"),
        ("sasl.password=a\\u12", 1, "For a backslash write"),
        ("sasl.password=a\\uD800", 1, "For a backslash write"),
        ("sasl.password=a\\u0000", 1, "control character"),
        ("sasl.password=a\\u001b[31m", 1, "control character"),
        ("sasl.jaas.config=PlainLoginModule required;", 1, "sasl.username=…"),
        ("ssl.truststore.location=/x.jks", 1, "ssl.ca.location"),
        ("ssl.providers=legacy", 1, "no such setting"),
        ("ssl.engine.location=/x.so", 1, "no such setting"),
        ("sasl.kerberos.kinit.cmd=rm -rf /", 1, "no such setting"),
        ("plugin.library.paths=/x.so", 1, "no such setting"),
        ("debug=security", 1, "no such setting"),
        ("enable.idempotence=true", 1, "Only settings of the connection"),
    ],
)
def test_what_is_refused_and_where(text: str, line: int, why: str) -> None:
    with pytest.raises(ContentError) as raised:
        parse_client_properties(text.encode(), "f")
    assert raised.value.line == line
    assert why in str(raised.value)
    assert raised.value.exit_code == 2


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="cannot be read"):
        read_client_properties(tmp_path / "absent")
    for other in (tmp_path, Path(os.devnull)):
        with pytest.raises(ContentError, match="no regular file"):
            read_client_properties(other)
    with pytest.raises(ContentError, match="not UTF-8"):
        parse_client_properties(b"# x\nsasl.password=\xff", "f")
    with pytest.raises(ContentError, match="larger than 64 KiB"):
        parse_client_properties(b"#" * (LARGEST_BYTES + 1), "f")


@pytest.mark.timeout(20)
def test_a_pipe_does_not_make_it_wait(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ContentError, match="no regular file"):
        read_client_properties(pipe)


@given(
    st.dictionaries(
        st.sampled_from(sorted(ALLOWED)), st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1)
    )
)
def test_what_is_escaped_is_read_back(properties: dict[str, str]) -> None:
    escaped = {
        name: "".join(f"\\{one}" if one in "\\:=#!" else one for one in value) for name, value in properties.items()
    }
    text = "\n".join(f"{name}={value}" for name, value in escaped.items())
    assert parse_client_properties(text.encode(), "f") == properties


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = parse_client_properties(data, "f")
    except ContentError:
        return
    assert set(found) <= ALLOWED


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("sasl.password", True),
        ("SSL.KEY.PASSWORD", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.jaas.config", True),
        ("some.Token.endpoint", True),
        ("security.protocol", False),
        ("ssl.ca.location", False),
    ],
)
def test_secrets_are_known_by_their_names(name: str, secret: bool) -> None:
    assert is_secret(name) is secret
    assert redacted({name: "value"}) == {name: REDACTED if secret else "value"}


def test_a_secret_that_a_library_repeats_is_taken_out() -> None:
    text = without_secrets("no user abcdef, no abc", {"sasl.username": "abc", "sasl.password": "abcdef"})
    assert text == f"no user {REDACTED}, no {REDACTED}"


# No secret in any output


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(SECRET_NAMES), SECRETS, min_size=1, max_size=4),
    st.sampled_from(
        ["{name}={value}", "{name} {value}", "{value}", "{name}={value} ", "{name}x={value}", "{name}={value}\\"]
    ),
    st.sampled_from(["", "acks=1", "sasl.jaas.config=x"]),
)
def test_no_error_repeats_a_secret(secrets: dict[str, str], form: str, more: str) -> None:
    text = "\n".join([*(form.format(name=name, value=value) for name, value in secrets.items()), more])
    try:
        properties = parse_client_properties(text.encode(), "f")
    except ContentError as error:
        shown = f"{error} {error!r} {error.__cause__!r}"
    else:
        shown = json.dumps(redacted(properties), ensure_ascii=False)
        shown += repr(target("auto", "h:1", None))
    for value in secrets.values():
        assert value not in shown


@settings(max_examples=15, deadline=None)
@given(SECRETS, SECRETS)
def test_no_output_of_a_command_holds_a_secret(
    tmp_path_factory: pytest.TempPathFactory, username: str, password: str
) -> None:
    """Through the command, to brokers that are not there: what it prints, and every file it leaves."""
    folder = tmp_path_factory.mktemp("login")
    file = folder / "client.properties"
    escaped = [text.replace("\\", "\\\\") for text in (username, password)]
    file.write_text(
        f"security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username={escaped[0]}\nsasl.password={escaped[1]}\n"
    )
    (folder / "own.yaml").write_text(LAB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "labs", lambda: folder)
        patch.setattr(module, "CONNECT_TIMEOUT_S", 0.05)
        patch.setattr(module, "_LOOK_S", 0.05)
        flags = ["own", "--bootstrap", NOBODY, "--client-config", str(file), "--plain"]
        done = CliRunner().invoke(command, flags, standalone_mode=False)
    assert isinstance(done.exception, ClusterError), done.output
    assert "security.protocol=SASL_PLAINTEXT" in done.output
    shown = f"{done.output} {done.exception} {done.exception!r} {done.exc_info}"
    for written in (paths.writable("state"), paths.writable("data")):
        shown += "".join(each.read_text(errors="replace") for each in written.rglob("*") if each.is_file())
    assert username not in shown
    assert password not in shown


def test_a_child_is_told_where_the_login_is_and_not_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(LOGIN)
    spec = ProducerSpec(
        name="p", bootstrap=NOBODY, topic="t", nonce="00" * 8, actor=0, t0=0, ledger="", client_config=str(file),
        messages=1, keys=1, message_bytes=100,
    )  # fmt: skip
    spec.write(tmp_path / "spec.json")
    assert "battery" not in (tmp_path / "spec.json").read_text()
    again = read_producer_spec(tmp_path / "spec.json")
    assert again.connection()["sasl.password"] == "correct horse \\ battery "


def test_every_client_gets_the_login() -> None:
    login = {"security.protocol": "SASL_SSL", "broker.address.family": "any", "bootstrap.servers": "elsewhere:1"}
    for config in (
        producer_config(NOBODY, {}, "p", login),
        consumer_config(NOBODY, {}, "c", group="g", commit="after", connection=login),
        reader_config(NOBODY, "r", isolation="read_committed", connection=login),
        admin_config(NOBODY, "a", login),
    ):
        assert (config["security.protocol"], config["broker.address.family"]) == ("SASL_SSL", "any")
        assert config["bootstrap.servers"] == NOBODY
    assert str(reader_config(NOBODY, "r", isolation="read_committed")["group.id"]).startswith("kafkaprep-")


@pytest.mark.parametrize(
    ("login", "why"),
    [
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "NOSUCH"}, "producer settings"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"}, "producer settings"),
    ],
)
def test_a_login_that_the_client_refuses_is_a_usage_error(login: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check_clients(make_plan(lab_of(), Settings()), login)


# Which cluster, and what it may be asked


def test_the_file_may_name_the_cluster(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"{LOGIN}{BOOTSTRAP}=broker.example:9092,[::1]:9093\n")
    where = target("auto", None, file)
    assert (where.backend, where.bootstrap) == ("external", "broker.example:9092,[::1]:9093")
    assert BOOTSTRAP not in where.properties
    assert target("external", "broker.example:9092,[::1]:9093", file).bootstrap == where.bootstrap
    with pytest.raises(UsageError, match="differ"):
        target("auto", "other:9092", file)
    file.write_text(LOGIN)
    with pytest.raises(UsageError, match="says where your cluster is"):
        target("auto", None, file)
    assert target("auto", " a:1 , b:2", None).bootstrap == "a:1,b:2"


def test_every_capability_it_lacks_has_its_reason() -> None:
    assert set(Capability) == set(backends.EXTERNAL_LACKS)


def _no_kafka() -> Installation:
    raise AssertionError("an external cluster needs no Kafka here")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("cluster:", "needs: [kill]\ncluster:"), "no kill"),
        (("cluster:", "needs: [transactions]\ncluster:"), "a transactional id would stay"),
        (("send: rest,", "send: rest, await: new_leader,"), "`await: new_leader`"),
        (("linger.ms", "transactional.id"), "producer.transactional.id"),
    ],
)
def test_what_would_disturb_the_cluster_is_refused(change: tuple[str, str], why: str) -> None:
    lab = lab_of(LAB.replace(*change, 1))
    with pytest.raises(CapabilityMissing) as raised:
        choose(target("auto", NOBODY, None), lab, [make_plan(lab, Settings())], _no_kafka)
    assert why in raised.value.message


def test_broker_settings_are_refused() -> None:
    plan = make_plan(lab_of(), Settings({Scope.BROKER: {"log.retention.ms": "1"}}))
    assert "broker.log.retention.ms" in external_refusals(lab_of(), plan)[0]


def test_a_session_that_brokers_refuse_comes_with_the_way_out() -> None:
    short = Settings({Scope.CONSUMER: {"session.timeout.ms": "2000"}})
    (reason,) = external_refusals(lab_of(), make_plan(lab_of(), short))
    assert "add --set consumer.session.timeout.ms=6000" in reason
    long = Settings({Scope.CONSUMER: {"session.timeout.ms": "6000"}})
    assert external_refusals(lab_of(), make_plan(lab_of(), long)) == []


@pytest.mark.parametrize("act", ["kill", "pause", "resume", "restart"])
def test_no_broker_is_ever_touched(act: str) -> None:
    with pytest.raises(CapabilityMissing, match="never disturbs the brokers"):
        getattr(ExternalCluster(NOBODY), act)(1)


def of_brokers(count: int) -> ExternalCluster:
    cluster = ExternalCluster(NOBODY)
    cluster.brokers = tuple(range(1, count + 1))
    if count < module.BROKERS_FOR_REPLICATION:
        cluster.capabilities = frozenset()
    return cluster


def test_fewer_brokers_lower_the_replication_or_refuse() -> None:
    lab = lab_of()
    plan = make_plan(lab, Settings())
    assert fit(lab, plan, of_brokers(3)) == (plan, "")
    fitted, note = fit(lab, plan, of_brokers(2))
    assert (fitted.replication, note) == (
        2, "This cluster has 2 brokers, so each message has 2 replicas instead of 3.",
    )  # fmt: skip
    strict = make_plan(lab, Settings({Scope.TOPIC: {"min.insync.replicas": "2"}}))
    assert fit(lab, strict, of_brokers(2))[0].replication == 2
    with pytest.raises(CapabilityMissing, match=r"min\.insync\.replicas=2 \(it has 1 broker\)"):
        fit(lab, strict, of_brokers(1))
    about_it = lab_of(LAB.replace("cluster:", "needs: [replication]\ncluster:", 1))
    with pytest.raises(CapabilityMissing, match=r"no replication \(it has fewer than 3 brokers\)"):
        fit(about_it, make_plan(about_it, Settings()), of_brokers(2))


@pytest.mark.parametrize("name", ["orders", "__consumer_offsets", "kafkaprep-mine", "kafkaprep-a-../" + "0" * 16, ""])
def test_only_names_that_we_give_are_written_down(name: str) -> None:
    cluster = ExternalCluster(NOBODY)
    with pytest.raises(ClusterError, match="no name that kafkaprep gives"):
        cluster.remember(name, None)
    with pytest.raises(ClusterError, match="no name that kafkaprep gives"):
        cluster.remember(make_plan(lab_of(), Settings()).topic, name)


def test_what_is_made_is_on_disk_until_it_is_gone() -> None:
    plan = make_plan(lab_of(), Settings())
    cluster = ExternalCluster(NOBODY)
    cluster.remember(plan.topic, plan.group)
    (record,) = (paths.writable("state", "external")).iterdir()
    found = json.loads(record.read_text())
    assert (found["topic"], found["group"], found["pid"]) == (plan.topic, plan.group, os.getpid())
    assert cluster.made(plan.topic)
    assert cluster.topic_of(plan.group) == plan.topic
    cluster.forget(plan.topic)
    cluster.forget(plan.topic)
    assert not record.exists()
    assert cluster.topic_of(plan.group) is None


def test_nobody_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(module, "_LOOK_S", 0.2)
    with pytest.raises(KafkaprepError, match=r"No broker answers at 127\.0\.0\.1:9 \(.*\)\.") as raised:
        ExternalCluster(NOBODY).start(lambda text: None, STOP)
    assert raised.value.exit_code == 4
