"""Functions as Lambda runs them: a process that is kept and asks for one event after the other. The emulator starts a new
one for each event, so that nothing there is ever warm; what a function takes is measured here instead."""

import base64
import collections
import glob
import http.server
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
import zipfile

from dynamodb import Ledger
from emulator import REGION, Gate
from world import ROOT

# What one invocation took: seconds from the event to the answer, seconds of processor, exchanges with AWS, lines logged.
Invocation = collections.namedtuple("Invocation", "answer seconds processor exchanges log")


class Function:
    """One function of an installation, in a process of its own, with the variables that the stack gives it."""

    def __init__(self, world, name, program=None):
        self.name, self.runtime = name, Runtime()
        self.folder = tempfile.mkdtemp(prefix=f"ozma-{name}-")
        self.gate = Gate(world.emulator.port)
        self.ledger = Ledger(world, self.gate)
        self.memory, variables = 128, {}
        if program is None:
            with zipfile.ZipFile(os.path.join(os.environ["OZ_ZIPS"], f"{name}.zip")) as packed:
                program = packed.extract("bootstrap", self.folder)
            os.chmod(program, 0o755)
            found = world.client("lambda").get_function_configuration(FunctionName=world.output[f"{name.capitalize()}Function"])
            self.memory, variables = found["MemorySize"], found["Environment"]["Variables"]
        self.program = program
        self.variables = {
            **variables,
            "AWS_ENDPOINT_URL": self.gate.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_RUNTIME_API": self.runtime.address,
            "PATH": os.environ["PATH"],
        }
        self.process = None
        self.log = open(os.path.join(self.folder, "log"), "w+b")

    def start(self):
        """Starts the process; answers the seconds until it asks for an event."""
        began = time.monotonic()
        self.process = subprocess.Popen([self.program], env=self.variables, stdout=self.log, stderr=self.log, cwd=self.folder)
        while not self.runtime.asked.wait(0.5):
            assert self.process.poll() is None, f"{self.name} did not start: {self.new_log()}"
        return self.runtime.asked_at - began

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            self.runtime.asked.clear()
            self.runtime.forget()

    def close(self):
        self.stop()
        self.runtime.shutdown()
        self.gate.shutdown()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def invoke(self, event):
        """Hands over an event, and waits for the answer and for the process to be idle again."""
        self.ledger.exchanges, before = [], self.processor()
        self.new_log()
        answer, seconds = self.runtime.hand(event)
        assert self.runtime.asked.wait(60), f"{self.name} answered and does not ask for more"
        return Invocation(answer, seconds, self.processor() - before, self.ledger.exchanges, self.new_log())

    def processor(self):
        """Seconds of processor that the process has had: the clock of another process, see clock_getcpuclockid(3)."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def most_memory(self):
        """Bytes that were resident at most."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024

    def new_log(self):
        self.log.flush()
        with open(self.log.name, "rb") as log:
            log.seek(getattr(self, "read", 0))
            text = log.read()
        self.read = getattr(self, "read", 0) + len(text)
        return text.splitlines()


class Runtime(http.server.ThreadingHTTPServer):
    """Lambda's runtime API for one process: `next`, `response` and `error`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Speaking)
        self.address = f"127.0.0.1:{self.server_port}"
        # The process waits for an event, and since when.
        self.asked, self.asked_at = threading.Event(), 0.0
        self.forget()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def forget(self):
        self.events, self.answers = queue.Queue(), queue.Queue()

    def hand(self, event):
        self.asked.clear()
        began = time.monotonic()
        self.events.put(json.dumps(event).encode())
        failed, body, ended = self.answers.get(timeout=120)
        assert not failed, f"the function failed: {body.decode()}"
        return json.loads(body), ended - began

    def handle_error(self, request, client_address):
        pass


class Speaking(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        runtime = self.server
        events, runtime.asked_at = runtime.events, time.monotonic()
        runtime.asked.set()
        event = events.get()
        head = {
            "lambda-runtime-aws-request-id": str(uuid.uuid4()),
            "lambda-runtime-deadline-ms": str(int((time.time() + 60) * 1000)),
            "lambda-runtime-invoked-function-arn": f"arn:aws:lambda:{REGION}:000000000000:function:measured",
            "lambda-runtime-trace-id": "Root=1-00000000-000000000000000000000000",
        }
        self.say(200, event, head)

    def do_POST(self):
        body, ended = self.body(), time.monotonic()
        self.say(202, b'{"status":"OK"}', {})
        self.server.answers.put((not self.path.endswith("/response"), body, ended))

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def say(self, status, content, head):
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(content)), **head}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def example(name):
    """One of the payloads in events/."""
    with open(os.path.join(ROOT, "events", f"{name}.json")) as file:
        return json.load(file)


def of_http(method, path, body=b"", headers=None, query=""):
    """A request as the HTTP API hands it to a function."""
    event = example("webhook-standard")
    route = {"webhooks": f"{method} /webhooks/{{id}}", "executions": "ANY /executions/{proxy+}"}.get(path.split("/")[1], "$default")
    event.update(rawPath=path, routeKey=route, rawQueryString=query, isBase64Encoded=True, body=base64.b64encode(body).decode())
    event["pathParameters"] = {"id" if "webhooks" in path else "proxy": path.split("/", 2)[2]}
    event["requestContext"].update(routeKey=route, http={**event["requestContext"]["http"], "method": method, "path": path})
    kept = {name: value for name, value in event["headers"].items() if not name.startswith(("webhook-", "content-"))}
    event["headers"] = {**kept, "content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    return event


def of_queue(bodies):
    """Messages as a mapping hands them to a function."""
    event = example("dispatch-tick")
    [record] = event["Records"][:1]
    event["Records"] = [{**record, "messageId": str(uuid.uuid4()), "body": body} for body in bodies]
    return event
