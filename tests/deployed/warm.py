"""An installation whose functions are kept warm: table, archive, queues and tasks are the stack's on the emulator, and
what would call a function calls the process that is kept."""

import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import secrets
import time
import uuid
import zlib

import dynamodb
import fargate
from emulator import wait_until
from lambdas import Function, of_http, of_queue
from world import FUNCTIONS, ROOT, World


def limit(name):
    """A constant, or list of constants, of the product's limits."""
    with open(os.path.join(ROOT, "shared/domain/src/limits.rs")) as source:
        [value] = re.findall(rf"pub const {name}: [^=]+= ([^;]+);", source.read())
    return json.loads(value)


def flushes(seconds):
    """The seconds at which an agent that nobody watches sends segments, the last one at its end."""
    pauses, at, times = limit("FLUSH_UNWATCHED_SECONDS"), 0, []
    while at < seconds:
        at = min(seconds, at + pauses[min(len(times), len(pauses) - 1)])
        times.append(at)
    return times


class Warm:
    def __init__(self, plan="max", before=lambda world: None):
        self.world = World(plan=plan)
        # What is to be seen while the emulator's own functions still work.
        self.found_before = before(self.world)
        self.world.fargate.next_tasks(fargate.never_starts)
        # The settle function is called from here.
        self.world.fargate.events_lost = True
        self._stop_everything_that_calls_functions()
        self.functions = {name: Function(self.world, name) for name in FUNCTIONS}
        # Every invocation since the last look: (stage, function, invocation).
        self.invocations = []
        # Messages that a mapping would have received and deleted.
        self.messages = 0

    def _stop_everything_that_calls_functions(self):
        mappings = self.world.client("lambda")
        for mapping in mappings.list_event_source_mappings()["EventSourceMappings"]:
            mappings.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        self.world.delete_schedules()

    def bytes_of_rows(self, run):
        """Of the rows that name a run, as DynamoDB counts them, with what it adds to each."""
        return sum(dynamodb.size(row) + dynamodb.ROW_BYTES for row in self.world.rows("") if run in json.dumps(row))

    def bytes_of_objects(self, run):
        pages = self.world.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.world.output["ArchiveBucket"])
        return sum(item["Size"] for page in pages for item in page.get("Contents", []) if run in item["Key"])

    def start(self):
        for function in self.functions.values():
            function.start()

    def close(self):
        for function in self.functions.values():
            function.close()
        self.world.close()

    def invoke(self, stage, name, event):
        done = self.functions[name].invoke(event)
        self.invocations.append((stage, name, done))
        return done.answer

    # ---- What calls functions ----

    def signed(self, automation, body):
        """A signed webhook that nobody sent before, as the HTTP API hands it over."""
        at, delivery = str(int(time.time())), f"msg_{uuid.uuid4().hex}"
        key = base64.b64decode(automation["webhook_secret"].removeprefix("whsec_"))
        signed = hmac.new(key, f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(signed).decode()
        head = {"webhook-id": delivery, "webhook-timestamp": at, "webhook-signature": signature}
        return of_http("POST", f"/webhooks/{automation['id']}", body, head)

    def webhook(self, automation, body):
        """A webhook that is accepted; answers the run's id."""
        answer = self.invoke("accept", "webhook", self.signed(automation, body))
        assert answer["statusCode"] == 202, answer
        return json.loads(answer["body"])["run_id"]

    def drain(self, stage):
        """Hands over what waits in the queues, message by message: the costliest way that a mapping has."""
        sqs, handed = self.world.client("sqs"), True
        while handed:
            handed = False
            for name, queue in (("dispatch", "TicksQueueUrl"), ("announce", "EndsQueueUrl"), ("notify", "ErrandsQueueUrl")):
                url = self.world.output[queue]
                for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", []):
                    answer = self.invoke(stage, name, of_queue([message["Body"]]))
                    assert not (answer or {}).get("batchItemFailures"), answer
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    self.messages, handed = self.messages + 1, True

    def agent(self, run):
        return Agent(self, run)

    def whole_run(self, automation, seconds):
        """A run from its webhook to its published outcome, without the waiting in between; answers its id."""
        run = self.webhook(automation, b'{"type":"deployment.requested","data":{"service":"web"}}')
        self.drain("dispatch")
        agent = self.agent(run)
        agent.claim()
        agent.call("start", "POST", "start")
        for _ in flushes(seconds):
            agent.segment()
        agent.finish()
        self.drain("settle")
        event = agent.task.ends(0)
        self.invoke("settle", "settle", event)
        self.drain("settle")
        assert self.world.state(run) == "SUCCEEDED"
        assert any("manifest/" in key for key in self.world.objects(run)), "the trail is not sealed"
        self.world.published(run)
        return run


class Agent:
    """Says to the executions API what an agent says."""

    def __init__(self, warm, run):
        self.warm = warm
        [self.task] = wait_until(f"a task of {run} starts", lambda: warm.world.fargate.of_run(run))
        self.variables = self.task.environment()
        body = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self.token = f"oze_{body}{zlib.crc32(body.encode()):08x}"
        self.segments = 0
        self.receipt = None

    def event(self, method, path, body=b""):
        head = {"authorization": f"Bearer {self.token}"}
        if self.receipt:
            head["x-oz-receipt"] = self.receipt
        return of_http(method, f"/executions/{self.variables['OZ_EXECUTION_ID']}/{path}", body, head)

    def call(self, stage, method, path, body=b""):
        answer = self.warm.invoke(stage, "executions", self.event(method, path, body))
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])

    def claim(self):
        claim = {"claim_token": self.variables["OZ_CLAIM_TOKEN"], "execution_token": self.token, "isolation": "fargate"}
        return self.call("claim", "POST", "claim", json.dumps({**claim, "agent_version": "measured"}).encode())

    def next_segment(self):
        """50 lines of output, each different, as a build prints them; the event that brings them."""
        self.segments += 1
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        texts = [f"   Compiling crate-{secrets.token_hex(4)} v1.{self.segments}.{line}\n" for line in range(50)]
        events = [{"at": at, "type": "output", "command": 1, "stream": "stdout", "text": text} for text in texts]
        body = "".join(json.dumps(event) + "\n" for event in events).encode()
        return self.event("PUT", f"segments/{self.segments}", gzip.compress(body))

    def segment(self):
        answer = self.warm.invoke("segments", "executions", self.next_segment())
        assert answer["statusCode"] == 200, answer
        self.receipt = json.loads(answer["body"])["receipt"]

    def finish(self):
        report = {"outcome": "succeeded", "summary": "done", "last_segment": self.segments}
        return self.call("finish", "POST", "finish", json.dumps(report).encode())
