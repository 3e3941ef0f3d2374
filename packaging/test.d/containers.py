"""containers.py BINARY DIRECTORY: what the examples in containers/ say to tfcfs is what tfcfs understands, and their mounts fit."""

import json
import pathlib
import re
import subprocess
import sys

import yaml

binary, work = sys.argv[1], pathlib.Path(sys.argv[2])
here = pathlib.Path("containers")


def tfcfs(*arguments):
    return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=20)


def understood(arguments, where):
    """A command line that tfcfs takes: it fails of what is missing here, not of its usage."""
    assert arguments[0] == "supervise", where
    point = arguments[1]
    assert "x-mount.mkdir" in arguments, "an image without a shell has no mkdir"
    # As far as a settings file that is not there: nothing is mounted.
    here = [str(work / "srv") if argument == point else argument for argument in arguments]
    here = ["/nowhere" if argument.startswith("/etc/") else argument for argument in here]
    ran = tfcfs(*here) if "--config" in here else tfcfs(*here, "--config", "/nowhere")
    assert ran.returncode == 5 and "/nowhere" in ran.stderr, (where, ran)
    return point


def probes(container):
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if kind in container:
            yield container[kind]["exec"]["command"]


# The image.
lines = (here / "Dockerfile").read_text()
command = json.loads(re.search(r"^CMD (\[.*\])", lines, re.M)[1])
health = json.loads(re.search(r"^HEALTHCHECK .*CMD (\[.*\])", lines, re.M)[1])
point = understood(command, "Dockerfile")
assert health == ["/usr/bin/tfcfs", "status", "--mount", point]

# Compose.
compose = yaml.safe_load((here / "compose.yaml").read_text())
side, app = compose["services"]["tfcfs"], compose["services"]["app"]
assert side["cap_drop"] == ["ALL"] and side["cap_add"] == ["SYS_ADMIN"] and side["devices"] == ["/dev/fuse"]
shared = {volume["target"]: volume for volume in side["volumes"]}
parent = str(pathlib.PurePath(point).parent)
assert shared[parent]["bind"]["propagation"] == "rshared"
[seen] = app["volumes"]
assert seen["source"] == shared[parent]["source"] and seen["bind"]["propagation"] == "rslave"
assert "/var/lib/tfcfs" in shared

# Kubernetes.
for name in ("kubernetes-sidecar.yaml", "kubernetes-node.yaml"):
    documents = list(yaml.safe_load_all((here / name).read_text()))
    specs = [d["spec"].get("template", d)["spec"] for d in documents if d["kind"] in ("Pod", "DaemonSet")]
    containers = [c for spec in specs for c in spec.get("initContainers", []) + spec["containers"]]
    for container in containers:
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        if container["name"] == "tfcfs":
            point = understood(container["args"], name)
            parent = str(pathlib.PurePath(point).parent)
            assert mounts[parent]["mountPropagation"] == "Bidirectional"
            assert container["securityContext"]["privileged"], "Kubernetes asks it of Bidirectional"
            assert list(probes(container)), name
            for probe in probes(container):
                assert probe == ["/usr/bin/tfcfs", "status", "--mount", point]
        else:
            assert mounts["/srv/tfcfs"]["mountPropagation"] == "HostToContainer"
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    # The settings are right; the anchor's token is elsewhere here.
    [settings] = [d["data"]["tfcfs.toml"] for d in documents if d["kind"] == "ConfigMap"]
    anchor = work / "anchor"
    anchor.write_text("Ex4mp1e.atlasv1." + "x" * 67)
    anchor.chmod(0o600)
    (work / "settings.toml").write_text(settings.replace("/run/anchor/token", str(anchor)))
    ran = tfcfs("check", str(work / "settings.toml"))
    assert ran.returncode == 0, (name, ran)
