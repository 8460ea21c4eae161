#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds our .proto files against the tables of facts in tests/conformance/api.

Both sides become sets of facts (this service has this method with these types, this message has this
field with this number, …). A fact of the tables that the protos lack is a failure, and so is a fact
of the protos about a name of the tables that the tables lack: a later API version may give the same
number another meaning. Our own extra messages, services and files are free.

usage: api_check.py SOURCE_DIR [--self-test]     --self-test: also shows that damage is noticed
"""

import csv
import os
import re
import subprocess
import sys
import tempfile

GROUPS = {"core", "transfer", "sandbox", "shim", "events", "types", "options", "metrics", "ttrpc", "health", "google"}
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([{}])|([^\s{}:"]+)(:?)')


# ---------------------------------------------------------------- what our protos say

def compile_protos(proto_dir):
    """The descriptor set of every file below proto_dir, as protoc's text format."""
    files = sorted(os.path.relpath(os.path.join(folder, name), proto_dir)
                   for folder, _, names in os.walk(proto_dir) for name in names if name.endswith(".proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", "-I", proto_dir, "-I", "/usr/include", "--include_imports",
                        "--descriptor_set_out=" + out.name, *files], check=True)
        return subprocess.run(["protoc", "-I", "/usr/include", "--decode=google.protobuf.FileDescriptorSet",
                               "google/protobuf/descriptor.proto"], stdin=open(out.name, "rb"),
                              check=True, stdout=subprocess.PIPE, text=True).stdout


def parse_text(source):
    """Text format to nested dictionaries; every field is a list of its values."""
    root, key = {}, None
    stack = [root]
    for quoted, brace, word, _ in TOKEN.findall(source):
        if brace == "{":
            inner = {}
            stack[-1].setdefault(key, []).append(inner)
            stack.append(inner)
            key = None
        elif brace == "}":
            stack.pop()
        elif key is None:
            key = word
            continue
        else:
            stack[-1].setdefault(key, []).append(quoted or word)
        key = None
    return root


def one(node, key, default=""):
    return node.get(key, [default])[0]


class Protos:
    """The facts of a descriptor set."""

    def __init__(self, descriptor_set):
        self.facts, self.map_entries, self.nodes = set(), {}, []
        files = descriptor_set.get("file", [])
        for file in files:
            for message in file.get("message_type", []):
                self._collect(message, one(file, "package"))
        for file in files:
            package, syntax = one(file, "package"), one(file, "syntax", "proto2")
            for enum in file.get("enum_type", []):
                self._enum(enum, package, syntax)
            for service in file.get("service", []):
                self._service(service, package, syntax)
            for message in file.get("message_type", []):
                self._message(message, package, syntax)

    def _collect(self, message, prefix):
        name = prefix + "." + one(message, "name")
        if one(one(message, "options", {}), "map_entry") == "true":
            self.map_entries[name] = {one(field, "number"): self._type(field) for field in message["field"]}
        for inner in message.get("nested_type", []):
            self._collect(inner, name)

    @staticmethod
    def _type(field):
        return one(field, "type_name").lstrip(".") or one(field, "type")[len("TYPE_"):].lower()

    def _enum(self, enum, prefix, syntax):
        name = prefix + "." + one(enum, "name")
        self.facts.add((name, "syntax", syntax))
        for value in enum.get("value", []):
            self.facts.add((name, "value", one(value, "name"), int(one(value, "number", "0"))))

    def _service(self, service, prefix, syntax):
        name = prefix + "." + one(service, "name")
        self.facts.add((name, "syntax", syntax))
        for method in service.get("method", []):
            streams = (one(method, "client_streaming") == "true", one(method, "server_streaming") == "true")
            kind = {(False, False): "unary", (False, True): "server_stream",
                    (True, False): "client_stream", (True, True): "bidi"}[streams]
            self.facts.add((name, "method", one(method, "name"), one(method, "input_type").lstrip("."),
                            one(method, "output_type").lstrip("."), kind))

    def _message(self, message, prefix, syntax):
        name = prefix + "." + one(message, "name")
        if name in self.map_entries:
            return
        self.facts.add((name, "syntax", syntax))
        oneofs = [one(oneof, "name") for oneof in message.get("oneof_decl", [])]
        for field in message.get("field", []):
            self.facts.add((name, "field", one(field, "name"), int(one(field, "number")), *self._shape(field, oneofs)))
        for enum in message.get("enum_type", []):
            self._enum(enum, name, syntax)
        for inner in message.get("nested_type", []):
            self._message(inner, name, syntax)

    def _shape(self, field, oneofs):
        """(type, label, oneof) in the words of the tables."""
        kind, optional = self._type(field), one(field, "proto3_optional") == "true"
        if kind in self.map_entries:
            entry = self.map_entries[kind]
            return entry["2"], "map<%s,%s>" % (entry["1"], entry["2"]), "-"
        if one(field, "label") == "LABEL_REPEATED":
            return kind, "repeated", "-"
        # A message field has presence with or without `optional`: the two are one shape.
        label = "optional" if optional and one(field, "type") != "TYPE_MESSAGE" else "singular"
        in_oneof = "oneof_index" in field and not optional
        return kind, label, oneofs[int(one(field, "oneof_index"))] if in_oneof else "-"


# ---------------------------------------------------------------- what the tables say

def rows(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as handle:
        yield from csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)


class Tables:
    """The facts of the chosen groups and of every type that these lead to."""

    def __init__(self, folder, groups):
        everything, group_of, leads_to = {}, {}, {}

        def add(row, name, fact, *types):
            everything.setdefault(name, {(name, "syntax", "proto3")})
            if fact:
                everything[name].add((name, *fact))
            group_of[name] = row["group"]
            leads_to.setdefault(name, set()).update(types)

        for row in rows(folder, "methods.tsv"):
            add(row, row["service"], ("method", row["method"], row["request"], row["response"], row["kind"]),
                row["request"], row["response"])
        messages = {row["message"] for row in rows(folder, "messages.tsv")}
        for row in rows(folder, "messages.tsv"):
            if row["number"] == "-":
                add(row, row["message"], None)
                continue
            label = row["label"]
            if label == "optional" and row["type"] in messages:
                label = "singular"
            add(row, row["message"], ("field", row["field"], int(row["number"]), row["type"], label, row["oneof"]),
                row["type"])
        for row in rows(folder, "enums.tsv"):
            add(row, row["enum"], ("value", row["value"], int(row["number"])))
        self.names, queue = set(), [name for name, group in group_of.items() if group in groups]
        while queue:
            name = queue.pop()
            if name in everything and name not in self.names:
                self.names.add(name)
                queue += leads_to[name]
        self.facts = set().union(*(everything[name] for name in self.names))


# ---------------------------------------------------------------- the comparison

def differences(tables, protos):
    have = {fact for fact in protos.facts if fact[0] in tables.names}
    return ([("missing", fact) for fact in sorted(tables.facts - have, key=str)] +
            [("extra", fact) for fact in sorted(have - tables.facts, key=str)])


def self_test(tables, descriptor_text):
    """Each damage to the protos must be noticed."""
    damages = [("name: \"container_id\"", "name: \"containerid\""), ("number: 3 ", "number: 333 "),
               ("server_streaming: true", ""), ("type: TYPE_UINT32", "type: TYPE_UINT64"),
               ("syntax: \"proto3\"", "syntax: \"proto2\""), ("label: LABEL_REPEATED", "label: LABEL_OPTIONAL"),
               ("number: 1\n", "number: 77\n")]
    blind = 0
    for old, new in damages:
        if old.strip() not in descriptor_text:
            print("self-test: %r is not in the descriptor set" % old)
            blind += 1
            continue
        damaged = Protos(parse_text(re.sub(re.escape(old.strip()) + r"(?=\s)", new.strip(), descriptor_text, count=3)))
        found = differences(tables, damaged)
        if not found:
            print("self-test: %r -> %r went unnoticed" % (old, new))
            blind += 1
    return blind


def main():
    root = sys.argv[1]
    tables = Tables(os.path.join(root, "tests", "conformance", "api"), GROUPS)
    descriptor_text = compile_protos(os.path.join(root, "proto"))
    found = differences(tables, Protos(parse_text(descriptor_text)))
    for kind, fact in found:
        print("%s: %s" % (kind, " ".join(str(part) for part in fact)))
    blind = self_test(tables, descriptor_text) if "--self-test" in sys.argv else 0
    print("%d facts of %d names, %d differences" % (len(tables.facts), len(tables.names), len(found)))
    return 1 if found or blind or not tables.facts else 0


if __name__ == "__main__":
    sys.exit(main())
