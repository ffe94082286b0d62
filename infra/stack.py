"""What infra/deploy and infra/teardown share: calling the AWS CLI, and following a stack."""

import json
import os
import re
import subprocess
import sys
import time

TABLE, ARCHIVE = "Table", "Archive"
# ECR takes no two hyphens in a row; the longest name made of it is a bucket's, with account and region.
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
NAME_LENGTH = 24
POLL_SECONDS = 3


class Refused(Exception):
    """What cannot be done, with what to do about it."""

    def __init__(self, reason, *remedies):
        super().__init__("\n  ".join([reason, *remedies]))


class AwsError(Exception):
    """What the AWS CLI answered."""

    def __init__(self, call, text):
        super().__init__(f"aws {call}: {text}")
        found = re.search(r"An error occurred \((\S+)\)", text)
        self.code = found.group(1) if found else ""
        self.text = text


def say(text=""):
    print(text, flush=True)


def step(text):
    say(f"== {text}")


def stack_name(text):
    if not NAME.fullmatch(text) or len(text) > NAME_LENGTH:
        raise Refused(
            f'--stack is "{text}"',
            f"it is lower case letters, digits and single '-', starts with a letter, and has {NAME_LENGTH} characters at most",
        )
    if text.endswith("-agent"):
        # Task definitions of the stack `oz` are named `oz-agent…`, and its functions may use all that begin so.
        raise Refused(f'--stack is "{text}"', "names that end in -agent are taken by what other stacks make; choose another")
    return text


class Aws:
    """The AWS CLI for one account and region."""

    def __init__(self, region):
        self.emulator = os.environ.get("AWS_ENDPOINT_URL", "")
        self.region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or self._configured()
        if not self.region:
            raise Refused("no region is set", "say --region eu-west-1, or set AWS_REGION, or: aws configure set region eu-west-1")
        try:
            identity = self("sts", "get-caller-identity")
        except AwsError as error:
            raise Refused(
                f"AWS does not know who you are: {error.text}", "aws configure, or aws sso login, or set AWS_PROFILE; then: aws sts get-caller-identity"
            ) from error
        self.account = identity["Account"]
        self.partition = identity["Arn"].split(":")[1]

    @staticmethod
    def _configured():
        try:
            return subprocess.run(["aws", "configure", "get", "region"], capture_output=True, text=True, check=False).stdout.strip()
        except FileNotFoundError as error:
            raise Refused("the AWS CLI is not installed", "pip install awscli, or the installer of version 2 from AWS") from error

    def __call__(self, service, call, *arguments):
        command = ["aws", service, call, *arguments, "--region", self.region, "--output", "json"]
        environment = {**os.environ, "AWS_PAGER": ""}
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        except FileNotFoundError as error:
            raise Refused("the AWS CLI is not installed", "pip install awscli, or the installer of version 2 from AWS") from error
        if done.returncode != 0:
            raise AwsError(f"{service} {call}", done.stderr.strip() or f"exit {done.returncode}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    @property
    def suffix(self):
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def url(self, bucket, key):
        """Where CloudFormation finds an object."""
        if self.emulator:
            return f"{self.emulator.rstrip('/')}/{bucket}/{key}"
        return f"https://{bucket}.s3.{self.region}.{self.suffix}/{key}"

    def artifacts(self, stack):
        return f"{stack}-artifacts-{self.account}-{self.region}"

    def describe(self, stack):
        """The stack, or nothing where there is none."""
        try:
            found = self("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"][0]
        except AwsError as error:
            if "does not exist" in error.text:
                return None
            raise
        # An update replaces everything in a stack, and a teardown removes it.
        if not found.get("Description", "Ozma").startswith("Ozma"):
            raise Refused(f"{stack} is a stack of something else: {found['Description']}", "choose another name with --stack")
        return found

    def resources(self, stack):
        return self("cloudformation", "describe-stack-resources", "--stack-name", stack)["StackResources"]

    def events(self, stack):
        """All events of the stack's present or last operation, oldest first."""
        try:
            found = self("cloudformation", "describe-stack-events", "--stack-name", stack, "--max-items", "200")["StackEvents"]
        except AwsError as error:
            if "does not exist" in error.text:
                return []
            raise
        return list(reversed(found))


def outputs(description):
    return {output["OutputKey"]: output["OutputValue"] for output in (description or {}).get("Outputs", [])}


def follow(aws, stack, seen, meanwhile=None):
    """Tells what happens to the stack until nothing does. Returns its status, and what failed."""
    failures = []
    while True:
        description = aws.describe(stack)
        for event in aws.events(stack):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
            if status.endswith("FAILED"):
                # What was cancelled because something else failed is not a cause.
                if "cancelled" not in reason:
                    failures.append((event["LogicalResourceId"], reason))
                say(f"   {status:<28} {event['LogicalResourceId']}: {reason}")
            elif status.endswith("COMPLETE") or event["ResourceType"] == "AWS::CloudFormation::Stack":
                say(f"   {status:<28} {event['LogicalResourceId']}")
        status = description["StackStatus"] if description else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            return status, failures
        if meanwhile:
            meanwhile()
        time.sleep(POLL_SECONDS)


def main(run):
    """Runs a command: an error is one message with its remedy, and Ctrl-C is no error."""
    try:
        sys.exit(run())
    except Refused as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(1)
    except AwsError as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nInterrupted. What AWS has begun it finishes by itself; the same command again goes on from there.", file=sys.stderr)
        sys.exit(130)
