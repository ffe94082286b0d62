"""The emulator, and a gate in front of it that counts what passes."""

import collections
import http.client
import http.server
import json
import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

REGION = "us-east-1"

# A request that passed a gate, with its answer. Times are those of `time.monotonic`.
Exchange = collections.namedtuple("Exchange", "call body status content began ended")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_until(what, condition, seconds=60, pause=0.05):
    """Waits for `condition` to give something, and returns it. Generous: it only bounds what hangs."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(pause)


class Emulator:
    """ministack in a process of its own, on loopback."""

    def __init__(self):
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="ozma-emulator-")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder,
            "TMPDIR": self.folder,
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": os.environ.get("EMULATOR_LOG", "WARNING"),
        }
        program = os.path.join(os.path.dirname(sys.executable), "ministack")
        self.process = subprocess.Popen(
            [program], env=environment, stdout=self.log, stderr=self.log, cwd=self.folder, start_new_session=True
        )
        wait_until("the emulator listens", self._is_healthy)

    def _is_healthy(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the emulator ended with {self.process.returncode}; its log is {self.log.name}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ministack/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        # Its functions are processes of its session.
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue
        self.log.close()


class Gate(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Passes requests on to the emulator, to the API's host or as they are, and counts them by what they call."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, emulator_port, host=None):
        self.emulator_port, self.host = emulator_port, host
        self.calls = collections.Counter()
        self.bytes = collections.Counter()
        self.seen = threading.Lock()
        # A function of (call, body) that answers (status, body), or nothing to pass the request on.
        self.answer = lambda call, body: None
        # Sees every exchange once its answer is known, before the caller has it.
        self.passed = lambda exchange: None
        super().__init__(("127.0.0.1", 0), Passing)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def counted(self):
        with self.seen:
            return collections.Counter(self.calls)

    def handle_error(self, request, client_address):
        pass


def as_ecs_spells(content):
    """The emulator keeps nested fields of a task definition as CloudFormation spells them; ECS begins them in lower case."""

    def spelled(value):
        if isinstance(value, dict):
            return {name[:1].lower() + name[1:]: spelled(inner) for name, inner in value.items()}
        return [spelled(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(spelled(json.loads(content))).encode()


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written one after the other: the second would wait 40 ms for the first's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def pass_on(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else b""
        call = self.call()
        with self.server.seen:
            self.server.calls[call] += 1
            self.server.bytes[call] += len(body)
        began = time.monotonic()
        given = self.server.answer(call, body)
        if given:
            status, content = given
            headers = [("content-type", "application/x-amz-json-1.1")]
        else:
            status, headers, content = self.upstream(body)
            if call.endswith(".DescribeTaskDefinition"):
                content = as_ecs_spells(content)
        self.server.passed(Exchange(call, body, status, content, began, time.monotonic()))
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                self.send_header(name, value)
        # The answer to HEAD tells the length of what it does not send.
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self.send_header("content-length", lengths[0] if self.command == "HEAD" and lengths else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = pass_on

    def upstream(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.emulator_port, timeout=120)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("host", "connection", "content-length"):
                    connection.putheader(name, value)
            connection.putheader("host", self.server.host or f"127.0.0.1:{self.server.emulator_port}")
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def call(self):
        """Names what is called: `DynamoDB.GetItem`, `S3.PUT audit`, `PUT /executions/{}/segments/{}`."""
        target = self.headers.get("x-amz-target")
        if target:
            service, operation = target.split(".")[0], target.split(".")[-1]
            return f"{re.sub('_.*|V20.*|20.*', '', service)}.{operation}"
        path = self.path.split("?")[0]
        if self.server.host:
            path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}(-\d+)?", "{}", path)
            path = re.sub(r"/(segments|outputs)/\d+(/\d+)?", r"/\1/{}", path)
            path = re.sub(r"/webhooks/[^/]+", "/webhooks/{}", path)
            return f"{self.command} {path}"
        if self.headers.get("authorization", "").find("/s3/") > 0:
            kind = path.strip("/").split("/")[1:2]
            return f"S3.{self.command} {kind[0] if kind else ''}".strip()
        service = re.search(r"/aws4_request", self.headers.get("authorization", ""))
        name = re.search(r"/([a-z0-9-]+)/aws4_request", self.headers.get("authorization", ""))
        return f"{name.group(1) if service and name else '?'}.{self.command}"
