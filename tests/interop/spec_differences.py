# SPDX-License-Identifier: Apache-2.0
"""How the records of Debian's ctr 1.6 may differ from those of our ctr (which follows 2.3), and why.

A row has a view: both sides are seen through it, and what is equal then is permitted.
"""

import copy
import dataclasses
import fnmatch
import re


@dataclasses.dataclass
class Side:
    """What one client said, and the container it recorded (None: none)."""
    code: object
    out: str
    err: str
    record: object


@dataclasses.dataclass
class Permitted:
    cases: str  # A shell pattern of names.
    view: object  # (side, is_ours) -> side
    reason: str

    def applies(self, case):
        return fnmatch.fnmatchcase(case.name, self.cases)


def of_spec(change):
    """A view that changes the specification only."""
    def view(side, is_ours):
        if not side.record or not side.record.get("Spec"):
            return side
        side = copy.deepcopy(side)
        change(side.record["Spec"], is_ours)
        return side
    return view


def of_text(pattern, replacement, stream="err"):
    compiled = re.compile(pattern, re.M)

    def view(side, _):
        return dataclasses.replace(side, **{stream: compiled.sub(replacement, getattr(side, stream))})
    return view


def without_version(spec, is_ours):
    """Only these two versions."""
    if spec.get("ociVersion") == ("1.3.0" if is_ours else "1.0.2-dev"):
        spec["ociVersion"] = "VERSION"


def without_powercap(spec, is_ours):
    masked = (spec.get("linux") or {}).get("maskedPaths") or []
    if is_ours and "/sys/devices/virtual/powercap" in masked:
        masked.remove("/sys/devices/virtual/powercap")


# What the default seccomp profile gained and lost between 1.6.20 and 2.3.
SECCOMP_ADDED = set("""cachestat fchmodat2 futex_requeue futex_wait futex_wake getxattrat listmount listxattrat
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr map_shadow_stack mseal name_to_handle_at removexattrat
    setxattrat statmount uretprobe""".split())
SECCOMP_REMOVED = {"io_uring_enter", "io_uring_register", "io_uring_setup", "socket"}
SOCKET_RULES = [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": value, "op": op}]}
                for value, op in ((38, "SCMP_CMP_LT"), (39, "SCMP_CMP_EQ"), (40, "SCMP_CMP_GT"))]


def old_seccomp(spec, is_ours):
    """2.3's default profile as 1.6.20 has it. One that a file gave is left alone: it has no list as long."""
    profile = (spec.get("linux") or {}).get("seccomp") or {}
    rules = profile.get("syscalls") or [{}]
    if len(rules[0].get("names", ())) < 300:
        return
    rules[0]["names"].sort()  # The order of names in a rule means nothing.
    if not is_ours:
        return
    names = set(rules[0]["names"])
    if SECCOMP_ADDED <= names and not SECCOMP_REMOVED & names:
        rules[0]["names"] = sorted(names - SECCOMP_ADDED | SECCOMP_REMOVED)
    if rules[1:4] == SOCKET_RULES:
        del rules[1:4]
    for rule in rules:
        if rule["names"] == ["process_vm_readv", "process_vm_writev", "ptrace"]:
            rule["names"] = ["ptrace"]
        if rule["names"][-1] == "set_mempolicy_home_node":
            rule["names"].pop()
        if rule["names"][:2] == ["bpf", "clone"]:
            rule["names"] = sorted(rule["names"] + ["name_to_handle_at"])


def without_replaced_mounts(spec, is_ours):
    """A destination that is mounted twice: only the last."""
    last = {mount["destination"]: number for number, mount in enumerate(spec["mounts"])}
    if not is_ours:
        spec["mounts"] = [mount for number, mount in enumerate(spec["mounts"]) if last[mount["destination"]] == number]


def same_text(reference, ours):
    """Both texts become "REFUSED", if each is the one that is meant."""
    meant = [re.compile(reference, re.S), re.compile(ours, re.S)]

    def view(side, is_ours):
        return dataclasses.replace(side, err="REFUSED") if meant[is_ours].fullmatch(side.err) else side
    return view


def nothing(side, _):
    return Side(0, "", "", None)


PERMITTED = [
    Permitted("*", of_spec(without_version), "2.3 writes a later version of the specification"),
    Permitted("*", of_spec(without_powercap), "one more masked path (GHSA-7ww5-4wqc-m92c)"),
    Permitted("*", of_spec(old_seccomp), "the default seccomp profile of 2.3: newer calls, no io_uring, no AF_ALG and "
              "AF_VSOCK sockets, process_vm_* where ptrace is"),
    Permitted("*", of_text(r": unknown$", ""), "clients since 2.0 do not print the class of an error that has none"),
    Permitted("create mounts", of_spec(without_replaced_mounts), "since 2.0 a mount replaces those on its destination"),
    Permitted("create with-ns colons", nothing, "since 2.0 the path of a namespace may have colons"),
    Permitted("image*", of_text(r"mount callback failed on /tmp/containerd-mount\d+: ", ""),
              "accounts are read without a mount since 2.0: no error names one"),
    Permitted("* garbage", same_text(r"ctr: (decoding \S+ \S+( file)? failed).*invalid character 'o' looking for .*\n",
                                     r"ctr: (decoding \S+ \S+( file)? failed).*(is no JSON object)\n"),
              "the words of the JSON parser"),
    Permitted("run uidmap alone", nothing, "half of a user namespace was ignored without a word; ours refuses it"),
    Permitted("run tty and null-io", nothing, "the reference crashes; ours says what is wrong"),
]
