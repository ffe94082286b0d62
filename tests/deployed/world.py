"""One installation on the emulator: the stack from the unchanged template, a client for everything, and Fargate."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

from emulator import REGION, Emulator, Gate, wait_until
from fargate import Fargate

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
FUNCTIONS = ["webhook", "api", "executions", "schedule", "dispatch", "settle", "sweep", "announce", "notify"]
ENDED = ("SUCCEEDED", "FAILED", "ERROR", "CANCELLED")


class World:
    def __init__(self, plan="free", parameters=None, stack="oz"):
        self.emulator = Emulator()
        # What functions call, and what is called from outside.
        self.aws = Gate(self.emulator.port)
        self.front = Gate(self.emulator.port, host="not-yet.execute-api.localhost")
        self._create_stack(plan, parameters or {}, stack)
        self.front.host = f"{self.output['ApiId']}.execute-api.localhost:{self.emulator.port}"
        self.invoke("sweep", {})
        secret = self.client("secretsmanager").get_secret_value(SecretId=self.output["AdminKeySecretArn"])
        self.admin_key = secret["SecretString"]
        self.outcomes = self._subscribe()
        self.fargate = Fargate(self)

    def close(self):
        self.fargate.close()
        self.front.shutdown()
        self.aws.shutdown()
        self.emulator.stop()

    def client(self, service):
        # Not through the gate: what the test asks is not what the system costs.
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self.emulator.port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
        )

    def _create_stack(self, plan, parameters, stack):
        s3 = self.client("s3")
        s3.create_bucket(Bucket="code")
        codes = {}
        for name in FUNCTIONS:
            with open(os.path.join(os.environ["OZ_ZIPS"], f"{name}.zip"), "rb") as packed:
                s3.put_object(Bucket="code", Key=f"ozma/{name}.zip", Body=packed)
            codes[f"{name.capitalize()}Code"] = f"ozma/{name}.zip"
        with open(os.path.join(ROOT, "infra/template.yaml")) as template:
            s3.put_object(Bucket="code", Key="template.yaml", Body=template.read())
        given = {
            "Plan": plan,
            "CodeBucket": "code",
            "EndpointUrl": self.aws.url,
            "ControlUrl": self.front.url,
            "AgentImage": "000000000000.dkr.ecr.us-east-1.amazonaws.com/agent@sha256:" + "0" * 64,
            **codes,
            **parameters,
        }
        formation = self.client("cloudformation")
        self.stack = stack
        formation.create_stack(
            StackName=stack,
            TemplateURL=f"http://127.0.0.1:{self.emulator.port}/code/template.yaml",
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in given.items()],
        )

        def created():
            [found] = formation.describe_stacks(StackName=stack)["Stacks"]
            if "IN_PROGRESS" in found["StackStatus"]:
                return None
            if found["StackStatus"] != "CREATE_COMPLETE":
                # The emulator's log has the reason; its events do not.
                with open(self.emulator.log.name, errors="replace") as log:
                    raise AssertionError(f"{found['StackStatus']}: {log.read()[-2000:]}")
            return found

        found = wait_until("the stack is created", created, 120)
        self.output = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}

    def _subscribe(self):
        """A queue that gets every outcome that the system publishes."""
        sqs, events = self.client("sqs"), self.client("events")
        url = sqs.create_queue(QueueName="outcomes")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        bus = self.output["BusName"]
        events.put_rule(Name="outcomes", EventBusName=bus, EventPattern=json.dumps({"source": ["oz.run"]}))
        events.put_targets(Rule="outcomes", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn}])
        return url

    # ---- Driving it from outside ----

    def invoke(self, function, event, kind="RequestResponse"):
        answer = self.client("lambda").invoke(
            FunctionName=self.output[f"{function.capitalize()}Function"],
            InvocationType=kind,
            Payload=json.dumps(event).encode(),
        )
        body = answer["Payload"].read() if kind == "RequestResponse" else b""
        if answer.get("FunctionError"):
            raise AssertionError(f"{function}: {body.decode()}")
        return json.loads(body) if body else None

    def http(self, method, path, body=None, headers=None):
        """Status and JSON. `body` is bytes as they are, or anything as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.front.url + path, data=body, method=method)
        request.add_header("content-type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            status, content = refused.code, refused.read()
        return status, json.loads(content) if content else None

    def api(self, method, path, body=None, expected=(200, 201, 202, 204), **headers):
        headers = {"authorization": f"Bearer {self.admin_key}", **headers}
        status, answer = self.http(method, f"/api/v1{path}", body, headers)
        assert status in expected, f"{method} {path}: {status} {answer}"
        return answer

    def accept(self, task, **more):
        config = {"harness": {"type": "shell"}, **more.pop("config", {})}
        return self.api("POST", "/agent/runs", {"prompt": task, "config": config, **more})["run_id"]

    def run(self, run):
        return self.api("GET", f"/agent/runs/{run}")

    def state(self, run):
        return self.run(run)["state"]

    def until(self, run, states=ENDED, seconds=60):
        """The run when it is in one of `states`."""
        last = {}

        def there():
            last.update(self.run(run))
            return dict(last) if last["state"] in states else None

        return wait_until(lambda: f"{run} is {states}: {last}", there, seconds)

    def automation(self, task, **more):
        run = {"prompt": task, "config": {"harness": {"type": "shell"}}, **more}
        return self.api("POST", "/automations", {"name": f"a-{time.monotonic_ns()}", "run": run})

    def webhook(self, automation, body, delivery, at=None, secret=None):
        """Sends a signed webhook; answers status and JSON."""
        at = str(int(at or time.time()))
        key = base64.b64decode((secret or automation["webhook_secret"]).removeprefix("whsec_"))
        signed = hmac.new(key, f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "webhook-id": delivery,
            "webhook-timestamp": at,
            "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        }
        return self.http("POST", f"/webhooks/{automation['id']}", body, headers)

    def oz(self, *arguments, check=True):
        """The command, as a user of this installation."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.emulator.folder,
            "OZ_API_BASE_URL": f"{self.front.url}/api/v1",
            "WARP_API_KEY": self.admin_key,
        }
        done = subprocess.run([os.environ["OZ"], *arguments], env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"oz {arguments}: {done.returncode} {done.stdout} {done.stderr}"
        return done

    # ---- Looking into it ----

    def messages(self, queue_url):
        """Takes everything out of a queue."""
        sqs, found = self.client("sqs"), []
        while True:
            batch = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])
            if not batch:
                return found
            for message in batch:
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])

    def published(self, run, seconds=60):
        """The outcomes published of a run, once there is one."""
        self._outcomes = getattr(self, "_outcomes", [])

        def of_run():
            self._outcomes += [json.loads(body) for body in self.messages(self.outcomes)]
            return [event for event in self._outcomes if event["detail"]["run_id"] == run]

        return wait_until(f"an outcome of {run} is published", of_run, seconds)

    def rows(self, prefix):
        """Rows whose partition key begins so."""
        table = self.client("dynamodb")
        pages = table.get_paginator("scan").paginate(TableName=self.output["TableName"])
        return [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith(prefix)]

    def slots(self):
        return self.rows("team#main#slots")

    def objects(self, run):
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.output["ArchiveBucket"])
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []) if f"run={run}" in item["Key"])

    def logs(self, function):
        """What a function has logged, a line each."""
        client, group = self.client("logs"), f"/aws/lambda/{self.stack}-{function}"
        try:
            pages = client.get_paginator("filter_log_events").paginate(logGroupName=group)
            return [event["message"] for page in pages for event in page["events"]]
        except client.exceptions.ResourceNotFoundException:
            return []

    def print_errors(self):
        for function in FUNCTIONS:
            for line in self.logs(function)[-400:]:
                if '"ERROR"' in line or "panicked" in line:
                    print(f"    {function}: {line.strip()[:600]}", flush=True)

    def delete_schedules(self):
        """From now on nobody sweeps but who is asked to."""
        scheduler = self.client("scheduler")
        for schedule in scheduler.list_schedules()["Schedules"]:
            scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])

    def quiet(self):
        """Nothing is held, nothing runs, nothing is parked or dead, and the sweep has nothing to do."""
        wait_until(lambda: f"no slot is held: {self.slots()}", lambda: not self.slots())
        wait_until(lambda: f"no task runs: {self.fargate.alive()}", lambda: not self.fargate.alive())
        for queue in ("ParkingQueueUrl", "DeadLettersQueueUrl"):
            found = self.messages(self.output[queue])
            assert not found, f"{queue}: {found}"
        repairs = self.invoke("sweep", {})
        assert not any(repairs.values()), f"the sweep repaired {repairs}"
