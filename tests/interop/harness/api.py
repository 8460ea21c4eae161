# SPDX-License-Identifier: Apache-2.0
"""Methods of the API that no command of ctr reaches, called directly, and put into the transcript."""

import json
import os
import re
import subprocess

from harness.session import Result

SPEC = "types.containerd.io/opencontainers/runtime-spec/1/"
NEVER = "-62135596800"  # Go's zero time, in seconds since 1970.


class Enum(str):
    """A name in a request, without quotes."""


def quoted(value):
    data = value.encode() if isinstance(value, str) else value
    return '"%s"' % "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else "\\%03o" % byte for byte in data)


def text_form(fields):
    """A dictionary in protobuf's text form. A list is a repeated field, a dictionary a message."""
    parts = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                parts.append("%s {%s}" % (name, text_form(one)))
            elif isinstance(one, bool):
                parts.append("%s: %s" % (name, str(one).lower()))
            elif isinstance(one, (int, Enum)):
                parts.append("%s: %s" % (name, one))
            else:
                parts.append("%s: %s" % (name, quoted(one)))
    return " ".join(parts)


def any_json(kind, value):
    """An Any of the OCI's: kind "Process", "LinuxResources", "Spec"."""
    return {"type_url": SPEC + kind, "value": value if isinstance(value, (bytes, str)) else json.dumps(value)}


def process(*arguments, **more):
    """The Any of an exec."""
    return any_json("Process", dict({"args": list(arguments), "cwd": "/", "user": {"uid": 0, "gid": 0},
                                     "env": ["PATH=/usr/bin:/bin"]}, **more))


def command(s, method):
    service = method.split("/")[0]
    return [os.path.join(s.bin_dir, "call"), s.daemon.address, s.namespace, os.path.join(s.bin_dir, "call.protoset"),
            "containerd.services.%s.v1.%s" % (service.lower(), method)]


def quiet(s, method, more="", timeout=60, lease=None, **fields):
    done = subprocess.run(command(s, method), input=text_form(fields) + more, capture_output=True, text=True,
                          timeout=timeout, check=False, env=dict(os.environ, **({"CALL_LEASE": lease} if lease else {})))
    if done.returncode == 64:
        raise RuntimeError("the call of %s was wrong: %s" % (method, done.stderr))
    return Result(done.returncode, done.stdout, done.stderr)


def call(s, method, name=None, more="", compare="text", mask=True, **fields):
    """Calls Service/Method and keeps what it answered. `more`: more of the request, in text form."""
    result = quiet(s, method, more, **fields)
    record(s, name or method, "call %s %s" % (method, text_form(fields)), result, compare, mask)
    return result


def record(s, name, shown, result, compare="text", mask=True):
    seen = Result(result.code, masked(result.out) if mask else result.out, result.err)
    s.record(name, shown, seen, compare)


def start(s, method, **fields):
    """A call that waits, in a process of its own: finish() has its answer."""
    process_ = subprocess.Popen(command(s, method), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)
    process_.stdin.write(text_form(fields))
    process_.stdin.close()
    process_.stdin = None
    return process_


def finish(process_, timeout=30):
    try:
        out, err = process_.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process_.kill()
        out, err = process_.communicate()
        return Result("timeout", out, err)
    return Result(process_.returncode, out, err)


def masked(answer):
    """Pids and times are of this run; that there is none is not."""
    answer = re.sub(r"\bpid: [1-9]\d*", "pid: PID", answer)
    answer = answer.replace("seconds: " + NEVER, "seconds: NEVER")
    return re.sub(r"seconds: \d+(\s+nanos: \d+)?", "seconds: SOME", answer)


def field(result, name):
    """The first scalar called `name` in the answer, as text."""
    match = re.search(r"\b%s: \"?([^\s\"]+)" % name, result.out)
    return match[1] if match else None
