"""What Knative's runtime contract asks of a platform, row by row: both runtimes and any image.

Each instance looks around and tells what it sees. Which rows there are, and which are left out and
why, is in docs/reference/runtime-contract.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.api import Json, Refused
from tests.cluster.harness import Lab
from tests.cluster.test_awake import PYTHON_IMAGE
from tests.cluster.traffic import send
from torpor.platform.kubernetes.resources import PODS

pytestmark = pytest.mark.timeout(180)

LOOK = """
import json, os, stat, sys, time

def text(path):
    return open(path).read().strip() if os.path.exists(path) else None

def writable():
    with open("/tmp/mine", "w") as file:
        return file.write("x") == 1

def look(headers):
    print("to stdout", flush=True)
    print("to stderr", file=sys.stderr, flush=True)
    devices = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin",
               "stdout", "stderr", "console", "shm", "mqueue", "pts")
    groups = ("memory.max", "cpu.max", "cpu.weight", "memory/memory.limit_in_bytes",
              "cpu/cpu.cfs_quota_us", "cpu/cpu.shares")
    return {
        "env": dict(os.environ), "headers": headers, "uid": os.getuid(), "cwd": os.getcwd(),
        "tmp": oct(stat.S_IMODE(os.stat("/tmp").st_mode) & 0o777)[2:], "tmpWritable": writable(),
        "dev": [name for name in devices if os.path.lexists("/dev/" + name)],
        "fd": sorted(os.listdir("/proc/self/fd")), "stdin": sys.stdin.read(),
        "cgroup": {name: text("/sys/fs/cgroup/" + name) for name in groups},
        "cgroupWritable": any(os.access("/sys/fs/cgroup/" + name, os.W_OK) for name in groups),
        "dns": text("/etc/resolv.conf"),
        "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    }
"""
PYTHON = f"""{LOOK}
def handler(event, context):
    time.sleep(float(event.query.get("sleep", 0)))
    return look(dict(event.headers))
"""
IMAGE = f"""{LOOK}
import http.server, signal, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(float(self.path.partition("sleep=")[2] or 0))
        body = json.dumps(look({{name.lower(): self.headers[name] for name in self.headers}}))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

server = Server(("", int(os.environ["PORT"])), Handler)
end = lambda *_: threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, end)
server.serve_forever()
server.server_close()
"""
NODE = """
const fs = require("node:fs");
const text = (path) => (fs.existsSync(path) ? fs.readFileSync(path, "utf8").trim() : null);
const writes = (path) => {
  try { fs.accessSync(path, fs.constants.W_OK); return true; } catch { return false; }
};
const there = (path) => {
  try { fs.lstatSync(path); return true; } catch { return false; }
};

exports.handler = async (event) => {
  await new Promise((done) => setTimeout(done, 1000 * (event.query.sleep ?? 0)));
  console.log("to stdout");
  console.error("to stderr");
  fs.writeFileSync("/tmp/mine", "x");
  const devices = ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin",
    "stdout", "stderr", "console", "shm", "mqueue", "pts"];
  const groups = ["memory.max", "cpu.max", "cpu.weight", "memory/memory.limit_in_bytes",
    "cpu/cpu.cfs_quota_us", "cpu/cpu.shares"];
  return {
    env: process.env, headers: event.headers, uid: process.getuid(), cwd: process.cwd(),
    tmp: (fs.statSync("/tmp").mode & 0o777).toString(8), tmpWritable: text("/tmp/mine") === "x",
    dev: devices.filter((name) => there("/dev/" + name)),
    fd: fs.readdirSync("/proc/self/fd").sort(), stdin: fs.readFileSync(0, "utf8"),
    cgroup: Object.fromEntries(groups.map((name) => [name, text("/sys/fs/cgroup/" + name)])),
    cgroupWritable: groups.some((name) => writes("/sys/fs/cgroup/" + name)),
    dns: text("/etc/resolv.conf"),
    token: fs.existsSync("/var/run/secrets/kubernetes.io/serviceaccount/token"),
  };
};
"""
SUBJECTS: dict[str, dict[str, Any]] = {
    "python3": {"runtime": "python3", "handler": "main.handler", "code": {"inline": PYTHON}},
    "nodejs": {"runtime": "nodejs", "handler": "main.handler", "code": {"inline": NODE}},
    "image": {"image": PYTHON_IMAGE, "command": ["python3"], "args": ["-c", IMAGE]},
}
ENVIRONMENT: dict[str, Any] = {
    "env": [
        {"name": "PLAIN", "value": "as it is $(HOME)$$"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "login", "key": "word"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "SET_"}],
    "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "10m"}},
}
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {
    "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    "X-Mine": 'a, b; c="d"',
    "User-Agent": "contract",
}
NEEDED_DEVICES = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin"} | {
    "stdout",
    "stderr",
    "shm",
    "mqueue",
    "pts",
}

Facts = dict[str, Any]
Row = Callable[[Facts, str], bool]
ROWS: dict[str, Row] = {
    "PORT": lambda seen, _: seen["env"]["PORT"] == "9000",
    "env, also from a Secret": lambda seen, _: (
        seen["env"]["FROM_SECRET"] == "hush" and seen["env"]["PLAIN"].startswith("as it is ")
    ),
    "env from a ConfigMap": lambda seen, _: seen["env"]["SET_COLOUR"] == "blue",
    "Host": lambda seen, host: seen["headers"]["host"].partition(":")[0] == host,
    "Forwarded": lambda seen, host: (
        "for=" in seen["headers"]["forwarded"]
        and f"host={host}" in seen["headers"]["forwarded"].replace('"', "")
        and "proto=http" in seen["headers"]["forwarded"]
    ),
    "X-Forwarded-For, -Proto, -Host": lambda seen, host: (
        bool(seen["headers"]["x-forwarded-for"])
        and seen["headers"]["x-forwarded-proto"] == "http"
        and seen["headers"]["x-forwarded-host"].partition(":")[0] == host
    ),
    "traceparent": lambda seen, _: seen["headers"]["traceparent"].split("-")[1] == TRACE,
    "headers of the caller": lambda seen, _: (
        seen["headers"]["x-mine"] == HEADERS["X-Mine"]
        and seen["headers"]["user-agent"] == HEADERS["User-Agent"]
    ),
    "/tmp": lambda seen, _: seen["tmp"] == "777" and seen["tmpWritable"],
    "/dev": lambda seen, _: set(seen["dev"]) >= NEEDED_DEVICES,
    "no /dev/console": lambda seen, _: "console" not in seen["dev"],
    "/proc/self/fd": lambda seen, _: {"0", "1", "2"} <= set(seen["fd"]),
    "standard input is at its end": lambda seen, _: seen["stdin"] == "",
    "/etc/resolv.conf": lambda seen, _: "nameserver" in seen["dns"],
    "cgroup: memory": lambda seen, _: (
        str(128 * 2**20) in group(seen, "memory.max", "memory/memory.limit_in_bytes")
    ),
    "cgroup: CPU": lambda seen, _: (
        group(seen, "cpu.max", "cpu/cpu.cfs_quota_us")[0].split()[0] == "50000"
    ),
    "cgroup: share of the CPU": lambda seen, _: (
        int(group(seen, "cpu.weight", "cpu/cpu.shares")[0]) > 0
    ),
    "cgroup: read-only": lambda seen, _: not seen["cgroupWritable"],
    "user": lambda seen, _: seen["uid"] == 65532,
    "working directory": lambda seen, _: seen["cwd"] == "/var/torpor/code",
    "no token of the cluster": lambda seen, _: not seen["token"],
}


def group(seen: Facts, *names: str) -> list[str]:
    """Return what the instance's cgroup says, under its name in version 2 or in version 1."""
    return [seen["cgroup"][name] for name in names if seen["cgroup"][name] is not None]


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_an_instance_finds_what_the_contract_says(lab: Lab, subject: str) -> None:
    host = await made(lab, subject)
    answer = await send(host, headers=HEADERS)
    assert answer.status == 200, answer
    seen = json.loads(answer.body)
    broken = [row for row, holds in ROWS.items() if not holds(seen, host)]
    for row in ROWS:
        print(f"{subject}: {row}: {'broken' if row in broken else 'kept'}")
    assert broken == [], json.dumps(seen, indent=1)
    await lab.replicas(subject, least=1, within=30)  # it answered before Kubernetes saw it begin
    logged = await lab.kubectl("logs", f"--selector=torpor.dev/function={subject}", "--tail=-1")
    assert "to stdout" in logged
    assert "to stderr" in logged


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_what_is_under_way_when_an_instance_has_to_go_is_answered(
    lab: Lab, subject: str
) -> None:
    host = await made(lab, subject)
    assert (await send(host)).status == 200
    [pod] = (await lab.seen(subject)).running
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(send(host, "/?sleep=4"), name="slow")
        await asyncio.sleep(1)
        await lab.api.delete(PODS.path(lab.namespace, pod["metadata"]["name"]))
    print(f"{subject}: its pod was deleted 1 s after a request of 4 s began:")
    print(f"sent 1, answered {slow.result().status} after {slow.result().seconds:.2f} s")
    assert slow.result().status == 200, slow.result()
    assert slow.result().seconds < 6, "it was run again, in another pod"


async def test_the_pod_is_as_the_contract_says(lab: Lab) -> None:
    await made(lab, "image")
    await lab.kubectl("scale", "fn", "image", "--replicas=1")
    seen = await lab.replicas("image", least=1, within=60)
    pod: Json = seen.running[0]["spec"]
    [container] = [item for item in pod["containers"] if item["name"] == "function"]
    [port] = container["ports"]
    probe = container["readinessProbe"]
    print(json.dumps({"port": port, "readinessProbe": probe}))
    assert (port["containerPort"], "hostPort" in port) == (9000, False)
    assert probe["tcpSocket"]["port"] == 9000
    assert probe.get("initialDelaySeconds", 0) == 0
    assert pod["terminationGracePeriodSeconds"] > 30
    assert not any(item.get("mountPropagation") for item in container.get("volumeMounts", ()))
    assert not any(container.get(name) for name in ("tty", "stdin"))
    assert "sysctls" not in pod["securityContext"]


@pytest.mark.parametrize("field", ["tty", "stdin", "lifecycle", "securityContext", "hostPort"])
async def test_what_a_developer_should_not_set_is_refused(lab: Lab, field: str) -> None:
    with pytest.raises(Refused, match=f'unknown field \\\\+"spec.{field}') as refused:
        await lab.api.text(
            "POST",
            f"/apis/torpor.dev/v1alpha1/namespaces/{lab.namespace}/functions"
            "?fieldValidation=Strict&dryRun=All",
            lab.function("wrong", **{field: True}),
        )
    assert refused.value.status in (400, 422)


async def made(lab: Lab, subject: str) -> str:
    """Make one of the subjects, named like it, with what it is to find; return its Host."""
    await lab.config_map("settings", {"COLOUR": "blue"})
    meta = {"name": "login", "namespace": lab.namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
    await lab.api.apply({**secret, "stringData": {"word": "hush"}})
    return await lab.make(subject, port=9000, **SUBJECTS[subject], **ENVIRONMENT)
