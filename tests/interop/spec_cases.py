# SPDX-License-Identifier: Apache-2.0
"""The containers of specs.py: flags of `ctr run` and `ctr containers create`, over some images."""

import dataclasses
import os

from harness.images import File, Image, busybox_entries

PASSWD = """root:x:0:0:root:/root:/bin/sh
app:x:1000:1001::/home/app:/bin/sh
other:x:1002:1002::/:/bin/sh
"""
GROUP = """root:x:0:
staff:x:50:app,root
app:x:1001:app
disk:x:6:app,1000
"""


@dataclasses.dataclass
class Case:
    name: str
    arguments: tuple


def with_accounts(**config):
    image = Image(dict({"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["true"], "Env": ["PATH=/bin", "A=image"],
                        "WorkingDir": "/home"}, **config))
    entries = [entry for entry in busybox_entries() if entry.info.name not in ("etc/passwd", "etc/group")]
    return image.add_layer(entries + [File("home"), File("etc/passwd", PASSWD), File("etc/group", GROUP)])


PLAIN = "local.test/plain:1"
IMAGES = {
    PLAIN: {},
    "local.test/user:1": {"User": "app", "StopSignal": "SIGINT", "Labels": {"org.example": "x"}},
    "local.test/bare:1": {"Entrypoint": None, "Cmd": ["/bin/true"], "Env": [], "WorkingDir": ""},
    "local.test/user-group:1": {"User": "1000:staff"},
    "local.test/ids:1": {"User": "1000:50"},
    "local.test/other:1": {"User": "other:50"},
    "local.test/nobody:1": {"User": "nobody"},
    "local.test/colons:1": {"User": "a:b:c"},
    "local.test/unknown:1": {"User": "4711"},
    "local.test/nogroup:1": {"User": "app:nogroup"},
}


def images_in(folder):
    for name, config in IMAGES.items():
        config = {key: value for key, value in config.items()}
        yield os.path.join(folder, name.split("/")[1].replace(":", "-") + ".tar"), with_accounts(**config), name


FLAGS = {  # Of both verbs.
    "nothing": [],
    "env": ["--env", "A=user", "--env", "B=2", "--env", "NOTHING", "--env", "A=again"],
    "env-file": ["--env-file", "FOLDER/env", "--env", "C=flag"],
    "env-file missing": ["--env-file", "FOLDER/none"],
    "labels": ["--label", "a=b", "--label", "c", "--label", "d="],
    "annotation": ["--annotation", "x=y", "--annotation", "z=", "--label", "l=m"],
    "annotation malformed": ["--annotation", "x"],
    "mounts": ["--mount", "type=bind,src=/tmp,dst=/host,options=rbind:ro",
               "--mount", "type=tmpfs,destination=/run,options=size=1m"],
    "mount unknown key": ["--mount", "type=bind,foo=bar"],
    "mount without value": ["--mount", "type"],
    "mount quoted": ["--mount", '"type=bind","src=/tmp","dst=/a,b",options=rbind'],
    "mount empty": ["--mount", ""],
    "mount no destination": ["--mount", "type=bind,src=/tmp,options=rbind"],
    "net-host": ["--net-host", "--env", "HOSTNAME=mine"],
    "read-only": ["--read-only"],
    "cwd": ["--cwd", "/tmp"],
    "cwd relative": ["--cwd", "tmp"],
    "tty": ["--tty"],
    "privileged": ["--privileged"],
    "privileged and dropped": ["--privileged", "--cap-drop", "CAP_SYS_ADMIN", "--seccomp"],
    "privileged without seccomp": ["--privileged", "--seccomp"],
    "caps": ["--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_CHOWN", "--cap-drop", "CAP_KILL", "--cap-drop", "CAP_BPF"],
    "cap all dropped": ["--cap-drop", "CAP_KILL", "--cap-drop", "CAP_NET_RAW"],
    "cap without prefix": ["--cap-add", "SYS_ADMIN"],
    "cap drop without prefix": ["--cap-drop", "kill"],
    "with-ns": ["--with-ns", "network:/proc/1/ns/net", "--with-ns", "ipc:", "--with-ns", "cgroup:"],
    "with-ns bad type": ["--with-ns", "time:/x"],
    "with-ns bad form": ["--with-ns", "pid"],
    "with-ns colons": ["--with-ns", "pid:/a:b"],
    "allow-new-privs": ["--allow-new-privs"],
    "memory-limit": ["--memory-limit", "33554432"],
    "device": ["--device", "/dev/null"],
    "device is a file": ["--device", "/etc/passwd"],
    "device missing": ["--device", "/dev/nothing"],
    "device folder": ["--device", "/dev/net"],
    "device twice": ["--device", "/dev/zero", "--device", "/dev/full"],
    "seccomp": ["--seccomp"],
    "seccomp with admin": ["--seccomp", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SYS_PTRACE",
                           "--cap-add", "CAP_BPF", "--cap-add", "CAP_SYSLOG"],
    "seccomp-profile": ["--seccomp", "--seccomp-profile", "FOLDER/seccomp.json"],
    "seccomp-profile alone": ["--seccomp-profile", "FOLDER/seccomp.json"],
    "seccomp-profile missing": ["--seccomp", "--seccomp-profile", "FOLDER/none"],
    "seccomp-profile garbage": ["--seccomp", "--seccomp-profile", "FOLDER/garbage"],
    "apparmor-profile": ["--apparmor-profile", "some-profile"],
    "apparmor both": ["--apparmor-profile", "a", "--apparmor-default-profile", "b"],
    "rdt-class": ["--rdt-class", "gold"],
    "cpu-quota": ["--cpu-quota", "50000", "--cpu-period", "100000"],
    "cpu-quota alone": ["--cpu-quota", "50000"],
    "cpu-period alone": ["--cpu-period", "200000"],
    "rootfs-propagation": ["--rootfs-propagation", "rslave"],
    "runtime options": ["--runtime-config-path", "/etc/x.toml"],
}
RUN_FLAGS = {
    "cgroup": ["--cgroup", "/it-specs/x"],
    "cgroup empty": ["--cgroup", ""],
    "cpus": ["--cpus", "0.5"],
    "cpus odd": ["--cpus", "0.333333"],
    "cpus and quota": ["--cpus", "0.5", "--cpu-quota", "1000"],
    "cpu-shares": ["--cpu-shares", "512"],
    "cpu-shares 0": ["--cpu-shares", "0"],
    "runc-binary": ["--runc-binary", "/usr/sbin/runc"],
    "runc-root": ["--runc-root", "/run/ctrd-specs-runc"],
    "runc-binary of another": ["--runtime", "io.containerd.runc.v1", "--runc-binary", "runc"],
    "systemd without cgroup": ["--runc-systemd-cgroup"],
    "uidmap alone": ["--uidmap", "0:1000:10"],
    "uidmap malformed": ["--uidmap", "0:1000", "--gidmap", "0:1000:10"],
    "uidmap words": ["--uidmap", "a:b:c", "--gidmap", "0:1000:10"],
    "tty and null-io": ["--tty", "--null-io"],
    "rm and detach": ["--rm", "-d"],
    "platform unknown": ["--platform", "plan9/vax"],
    "platform malformed": ["--platform", "a/b/c/d/e"],
    "no-pivot": ["--no-pivot"],
}


def cases(folder):
    prepare_files(folder)

    def filled(flags):
        return [flag.replace("FOLDER", folder) for flag in flags]

    for name, flags in FLAGS.items():
        yield Case("create " + name, ("containers", "create", *filled(flags), PLAIN, "box", "/bin/true"))
    for name, flags in RUN_FLAGS.items():
        yield Case("run " + name, ("run", "--null-io", *filled(flags), PLAIN, "box", "/bin/true"))
    for image in IMAGES:
        yield Case("image " + image, ("containers", "create", image, "box"))
        yield Case("image with arguments " + image, ("containers", "create", image, "box", "echo", "<&>"))
    for name, arguments in {"no id": [PLAIN], "no image": [], "unknown image": ["local.test/none:1", "box"],
                            "config": ["--config", os.path.join(folder, "spec.json"), "box"],
                            "config with labels": ["--label", "a=b", "--config", os.path.join(folder, "spec.json"), "box"],
                            "config with command": ["--config", os.path.join(folder, "spec.json"), "box", "x"],
                            "config missing": ["--config", os.path.join(folder, "none"), "box"],
                            "config garbage": ["--config", os.path.join(folder, "garbage"), "box"],
                            "rootfs": ["--rootfs", folder, "box", "/bin/true"],
                            "rootfs relative": ["--rootfs", ".", "box", "/bin/true"],
                            "rootfs with env": ["--rootfs", "--env", "A=b", folder, "box"],
                            "rootfs missing": ["--rootfs", "/no/such/folder", "box", "/bin/true"]}.items():
        yield Case("create " + name, ("containers", "create", *arguments))
        yield Case("run " + name, ("run", *arguments))


def prepare_files(folder):
    files = {"env": "B=file\nC=file\n\n# not a comment=x\nD\n", "garbage": "{oops",
             "seccomp.json": '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"syscalls":'
                             '[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","args":null}]}',
             "spec.json": '{"ociVersion":"1.0.2","process":{"user":{"uid":1,"gid":2},"args":["/bin/true"],"cwd":"/"},'
                          '"root":{"path":"rootfs"},"hostname":"h","annotations":{"b":"1","a":"2"}}'}
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as handle:
            handle.write(text)
