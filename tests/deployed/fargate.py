"""Fargate: where ECS would start a container, the real agent starts with the task's environment; when it ends, or its task
is stopped, ECS's state event goes to the function as EventBridge would hand it over."""

import datetime
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid


class Fargate:
    def __init__(self, world):
        self.world = world
        self.ecs = world.client("ecs")
        self.cluster = world.output["ClusterArn"]
        # What becomes of a task that starts: "agent", or a function of (fargate, task) that says otherwise.
        self.behaviour = {}
        self.default = start_agent
        self.tasks = {}
        self.most_alive = 0
        self.events_lost = False
        self.started_at = {}
        self.closing = threading.Event()
        self.watching = threading.Thread(target=self._watch, daemon=True)
        self.watching.start()

    def close(self):
        self.closing.set()
        self.watching.join(30)
        for task in list(self.tasks.values()):
            task.kill()

    def alive(self):
        return [task for task in self.tasks.values() if not task.stopped]

    def of_run(self, run):
        return [task for task in list(self.tasks.values()) if task.run == run]

    def next_tasks(self, behaviour):
        """Tasks from now on behave so."""
        self.default = behaviour

    def _watch(self):
        while not self.closing.wait(0.03):
            try:
                self._look()
            except Exception as err:
                if not self.closing.is_set():
                    print(f"    the stand-in for Fargate met: {err!r}", flush=True)

    def _look(self):
        running = self.ecs.list_tasks(cluster=self.cluster)["taskArns"]
        new = [arn for arn in running if arn not in self.tasks]
        if new:
            for described in self.ecs.describe_tasks(cluster=self.cluster, tasks=new)["tasks"]:
                task = Task(self, described)
                self.tasks[task.arn] = task
                self.most_alive = max(self.most_alive, len(self.alive()))
                threading.Thread(target=self.default, args=(self, task), daemon=True).start()
        # What StopTask was called for.
        for task in self.alive():
            if task.arn not in running and not task.stopping:
                task.stopping = True
                threading.Thread(target=task.stop_as_told, daemon=True).start()


class Task:
    def __init__(self, fargate, described):
        self.fargate, self.described = fargate, described
        self.arn = described["taskArn"]
        self.execution = described.get("startedBy", "")
        self.run = self.execution.rpartition("-")[0]
        self.process = None
        self.stopped = self.stopping = False
        self.version = 1
        self.folder = None
        self.lock = threading.Lock()

    @property
    def overrides(self):
        return self.described["overrides"]

    def environment(self):
        """The agent container's variables: the definition's, then the task's."""
        definition = self.fargate.ecs.describe_task_definition(taskDefinition=self.described["taskDefinitionArn"])
        [agent] = [c for c in definition["taskDefinition"]["containerDefinitions"] if c["name"] == "agent"]
        variables = {pair["name"]: pair["value"] for pair in agent.get("environment", [])}
        for override in self.overrides["containerOverrides"]:
            variables.update({pair["name"]: pair["value"] for pair in override.get("environment", [])})
        return variables

    def ends(self, exit_code=0, stop_code="EssentialContainerExited", reason="Essential container in task exited", of_agent=None):
        """The task stops, and ECS says so."""
        with self.lock:
            if self.stopped:
                return
            self.stopped = True
        self.fargate.ecs.stop_task(cluster=self.fargate.cluster, task=self.arn, reason=reason)
        event = self.event(exit_code, stop_code, reason, of_agent)
        if not self.fargate.events_lost:
            self.fargate.world.invoke("settle", event, kind="Event")
        return event

    def event(self, exit_code, stop_code, reason, of_agent, status="STOPPED"):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
        agent = {"containerArn": self.arn + "/agent", "lastStatus": status, "name": "agent", "image": "image", "taskArn": self.arn}
        if exit_code is not None:
            agent["exitCode"] = exit_code
        if of_agent:
            agent["reason"] = of_agent
        install = {"containerArn": self.arn + "/install", "lastStatus": "STOPPED", "name": "install", "exitCode": 0, "taskArn": self.arn}
        self.version += 1
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "account": "000000000000",
            "time": now,
            "region": "us-east-1",
            "resources": [self.arn],
            "detail": {
                "taskArn": self.arn,
                "clusterArn": self.fargate.cluster,
                "taskDefinitionArn": self.described["taskDefinitionArn"],
                "startedBy": self.execution,
                "group": self.described.get("group", ""),
                "lastStatus": status,
                "desiredStatus": "STOPPED",
                "launchType": "FARGATE",
                "stopCode": stop_code,
                "stoppedReason": reason,
                "containers": [install, agent],
                "overrides": self.overrides,
                "version": self.version,
                "stoppedAt": now,
                "updatedAt": now,
            },
        }

    def start_agent(self):
        self.folder = tempfile.mkdtemp(prefix="ozma-task-")
        variables = {**self.environment(), "PATH": os.environ["PATH"], "OZ_WORKSPACE": os.path.join(self.folder, "workspace")}
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            [os.environ["OZ_AGENT"]], env=variables, stdout=self.log, stderr=self.log, cwd=self.folder, start_new_session=True
        )

    def stop_as_told(self):
        """SIGTERM, 30 s, SIGKILL, as ECS does."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        else:
            self.ends(None, "UserInitiated", "stopped by Ozma")

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def start_agent(fargate, task):
    """What Fargate does on most days."""
    task.start_agent()
    code = task.process.wait()
    # A signal's end is told as a shell tells it.
    code = code if code >= 0 else 128 - code
    if task.stopping:
        task.ends(code, "UserInitiated", "stopped by Ozma")
    else:
        task.ends(code)


def never_starts(fargate, task):
    """PROVISIONING for ever."""


def interrupted(fargate, task):
    """Spot takes the machine back: SIGTERM, and the event that says so."""
    task.start_agent()
    fargate.world.until(task.run, ("INPROGRESS",))
    task.process.send_signal(signal.SIGTERM)
    code = task.process.wait()
    task.ends(code, "SpotInterruption", "Your Spot Task was interrupted.")


def fails(exit_code, stop_code, reason, of_agent=None):
    """The task ends so, without an agent."""
    return lambda fargate, task: task.ends(exit_code, stop_code, reason, of_agent)


def killed_for_memory(fargate, task):
    """The kernel kills the agent with everything in its container."""
    task.start_agent()
    fargate.world.until(task.run, ("INPROGRESS",))
    os.killpg(task.process.pid, signal.SIGKILL)
    task.process.wait()
    task.ends(137, of_agent="OutOfMemoryError: Container killed due to memory usage")
