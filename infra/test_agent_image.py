#!/usr/bin/env python3
"""infra/agent-image against a registry that keeps what it is sent. Drives the real AWS CLI; skips where there is none.

  python3 infra/test_agent_image.py
"""

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SCRIPT = Path(__file__).with_name("agent-image")
REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/oz/agent"
PART_BYTES = 64


def program(machine=62, interpreter=False, body=b"agent" * 100):
    """A file that looks like a program to whoever reads its headers."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 3 if interpreter else 1, 0, 0, 0, 0, 0, 0, 0)
    return header + segment + body


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry(BaseHTTPRequestHandler):
    """As much of ECR as a push needs, with its refusals."""

    def do_POST(self):
        action = self.headers["x-amz-target"].split(".")[-1]
        self.server.calls.append(action)
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert request["repositoryName"] == "oz/agent" and request["registryId"] == "123456789012"
        try:
            status, answer = 200, getattr(self, action)(self.server, request)
        except LookupError as err:
            status, answer = 400, {"__type": err.args[0], "message": "so it is"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def BatchGetImage(self, held, request):
        if held.broken:
            raise LookupError(held.broken)
        there = [image for image in request["imageIds"] if image["imageDigest"] in held.images]
        return {"images": [{"imageId": image} for image in there], "failures": []}

    def BatchCheckLayerAvailability(self, held, request):
        state = lambda name: "AVAILABLE" if name in held.layers else "UNAVAILABLE"
        return {"layers": [{"layerDigest": name, "layerAvailability": state(name)} for name in request["layerDigests"]]}

    def InitiateLayerUpload(self, held, _):
        held.uploads.append(b"")
        return {"uploadId": str(len(held.uploads) - 1), "partSize": PART_BYTES}

    def UploadLayerPart(self, held, request):
        part = base64.b64decode(request["layerPartBlob"])
        upload = int(request["uploadId"])
        assert request["partFirstByte"] == len(held.uploads[upload]), "parts come in order"
        assert request["partLastByte"] == request["partFirstByte"] + len(part) - 1
        assert len(part) <= PART_BYTES
        held.uploads[upload] += part
        return {"lastByteReceived": request["partLastByte"]}

    def CompleteLayerUpload(self, held, request):
        blob = held.uploads[int(request["uploadId"])]
        assert request["layerDigests"] == [sha256(blob)]
        if sha256(blob) in held.layers:
            raise LookupError("LayerAlreadyExistsException")
        held.layers[sha256(blob)] = blob
        return {"layerDigest": sha256(blob)}

    def PutImage(self, held, request):
        manifest = request["imageManifest"].encode()
        assert request["imageDigest"] == sha256(manifest)
        parts = json.loads(manifest)
        assert all(part["digest"] in held.layers for part in [parts["config"], *parts["layers"]])
        if request["imageDigest"] in held.images:
            raise LookupError("ImageAlreadyExistsException")
        held.images[request["imageDigest"]] = (request["imageTag"], manifest)
        return {"image": {}}


class AgentImage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.binary = self.folder / "oz-agent"
        self.binary.write_bytes(program())
        self.registry = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
        self.registry.layers, self.registry.images = {}, {}
        self.registry.uploads, self.registry.calls, self.registry.broken = [], [], None
        threading.Thread(target=self.registry.serve_forever, daemon=True).start()
        self.addCleanup(self.registry.server_close)
        self.addCleanup(self.registry.shutdown)

    def run_script(self, *arguments):
        address = f"http://127.0.0.1:{self.registry.server_address[1]}"
        own = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1"}
        arguments = ["--binary", str(self.binary), *map(str, arguments)]
        return subprocess.run(
            [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env={**os.environ, **own}
        )

    def push(self):
        if not shutil.which("aws"):
            self.skipTest("there is no AWS CLI")
        done = self.run_script("--arch", "amd64", "--repository-uri", REPOSITORY)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def refused(self, words, *arguments):
        done = self.run_script(*arguments)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        self.assertIn(words, " ".join(done.stderr.split()))
        self.assertNotIn("Traceback", done.stderr)

    def test_what_is_pushed_is_an_image_that_starts_the_agent(self):
        reference = self.push()
        (digest, (tag, manifest)), = self.registry.images.items()
        self.assertEqual(reference, f"{REPOSITORY}@{digest}")
        self.assertTrue(digest.startswith(f"sha256:{tag}"))
        manifest = json.loads(manifest)
        config = json.loads(self.registry.layers[manifest["config"]["digest"]])
        self.assertEqual((config["architecture"], config["config"]["Entrypoint"]), ("amd64", ["/oz-agent"]))
        layer, = manifest["layers"]
        packed = self.registry.layers[layer["digest"]]
        self.assertEqual(len(packed), layer["size"])
        unpacked = gzip.decompress(packed)
        self.assertEqual(config["rootfs"]["diff_ids"], [sha256(unpacked)])
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
            entry, = tar.getmembers()
            self.assertEqual((entry.name, entry.mode, entry.uid, entry.mtime), ("oz-agent", 0o755, 0, 0))
            self.assertEqual(tar.extractfile(entry).read(), program())

    def test_pushing_again_sends_nothing(self):
        first = self.push()
        self.registry.calls.clear()
        os.utime(self.binary, (1, 1))
        self.assertEqual(self.push(), first)
        self.assertEqual(self.registry.calls, ["BatchGetImage"])

    def test_a_push_that_was_cut_short_is_taken_up(self):
        first = self.push()
        self.registry.images.clear()
        self.registry.layers.popitem()
        self.registry.calls.clear()
        self.assertEqual(self.push(), first)
        self.assertEqual(self.registry.calls.count("InitiateLayerUpload"), 1)

    def test_a_layout_is_whole(self):
        out = self.folder / "out"
        done = self.run_script("--arch", "amd64", "--output-dir", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        entry, = json.loads((out / "index.json").read_text())["manifests"]
        read = lambda part: (out / "blobs" / part["digest"].replace(":", "/")).read_bytes()
        manifest = json.loads(read(entry))
        for part in [entry, manifest["config"], *manifest["layers"]]:
            self.assertEqual((sha256(read(part)), len(read(part))), (part["digest"], part["size"]))
        self.assertIn(entry["digest"], done.stdout)

    def test_a_binary_that_would_not_run_is_refused(self):
        push = ["--arch", "amd64", "--repository-uri", REPOSITORY]
        self.binary.write_bytes(program(machine=183))
        self.refused("is for arm64 and not for --arch amd64", *push)
        self.binary.write_bytes(program(interpreter=True))
        self.refused("needs the C library of its image", *push)
        self.binary.write_bytes(b"#!/bin/sh")
        self.refused("is not a 64-bit Linux program", *push)
        self.binary.unlink()
        self.refused("cannot be read: No such file", *push)

    def test_what_is_wrong_is_named(self):
        self.refused("give one of --repository-uri and --output-dir", "--arch", "amd64")
        self.refused("without tag or digest", "--arch", "amd64", "--repository-uri", f"{REPOSITORY}:latest")
        if not shutil.which("aws"):
            self.skipTest("there is no AWS CLI")
        self.registry.broken = "RepositoryNotFoundException"
        self.refused("there is no repository", "--arch", "amd64", "--repository-uri", REPOSITORY)
        self.registry.broken = "AccessDeniedException"
        self.refused("AWS refuses `ecr batch-get-image`", "--arch", "amd64", "--repository-uri", REPOSITORY)


if __name__ == "__main__":
    unittest.main()
