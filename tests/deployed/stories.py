"""What the deployed system does, told as stories. Each has an installation to itself where it says so, else they share one."""

import json
import os
import subprocess
import sys
import threading
import time
import traceback
import zipfile

import fargate
from emulator import wait_until
from world import FUNCTIONS, World

STORIES = []


def story(told):
    STORIES.append(told)
    return told


@story
def a_signed_webhook_becomes_a_sealed_audit(world):
    automation = world.automation("echo hello from $OZ_RUN_ID > made; cat made")
    status, answer = world.webhook(automation, b'{"order": 1}', "msg_1")
    assert status == 202 and not answer["duplicate"], (status, answer)
    run = answer["run_id"]
    ended = world.until(run)
    assert ended["state"] == "SUCCEEDED", ended
    # The sender did not hear the answer and sends it again, then somebody else's words under the same id.
    status, again = world.webhook(automation, b'{"order": 1}', "msg_1")
    assert status == 202 and again["run_id"] == run and again["duplicate"], (status, again)
    assert world.webhook(automation, b'{"order": 2}', "msg_1")[0] == 409
    # Neither a wrong signature nor an old one starts anything.
    other = world.automation("true")
    assert world.webhook(automation, b"{}", "msg_2", secret=other["webhook_secret"])[0] == 401
    assert world.webhook(automation, b"{}", "msg_2", at=time.time() - 3_600)[0] == 401
    [task] = world.fargate.of_run(run)
    assert task.overrides["cpu"] == "2048" and task.overrides["memory"] == "4096", task.overrides
    assert len(json.dumps(task.overrides)) < 8_192
    published = world.published(run)
    assert {event["detail"]["id"] for event in published} == {f"{run}/1/SUCCEEDED"}, published
    assert published[0]["detail-type"] == "Run State Change", published
    wait_until("the audit is sealed", lambda: any("manifest/" in key for key in world.objects(run)))
    told = world.oz("audit", "verify", run).stdout
    assert "verified" in told.lower() and "complete" in told.lower(), told
    assert "hello from" in world.oz("run", "logs", run).stdout
    world.quiet()


@story
def fifty_runs_never_take_more_than_the_plan_gives(world):
    world.fargate.most_alive = 0
    runs = []
    starters = [threading.Thread(target=lambda: runs.extend(world.accept("true") for _ in range(10))) for _ in range(5)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len(set(runs)) == 50
    for run in runs:
        assert world.until(run, seconds=300)["state"] == "SUCCEEDED"
    assert world.fargate.most_alive <= 4, world.fargate.most_alive
    tasks = [len(world.fargate.of_run(run)) for run in runs]
    assert tasks == [1] * 50, tasks
    assert len({event["detail"]["id"] for run in runs for event in world.published(run)}) == 50
    world.quiet()


@story
def a_run_is_cancelled_in_every_state(world):
    def cancelled(run):
        world.api("POST", f"/agent/runs/{run}/cancel")
        # At once for the user.
        assert world.state(run) == "CANCELLED"
        wait_until("its task is gone", lambda: all(task.stopped for task in world.fargate.of_run(run)))
        assert {event["detail"]["id"].rpartition("/")[2] for event in world.published(run)} == {"CANCELLED"}
        wait_until("the audit is sealed", lambda: any("manifest/" in key for key in world.objects(run)))
        assert world.api("POST", f"/agent/runs/{run}/cancel", expected=(400, 409, 422))
        assert world.state(run) == "CANCELLED"

    world.fargate.next_tasks(fargate.never_starts)
    pending = world.accept("sleep 600")
    world.until(pending, ("PENDING",))
    wait_until("its task starts", lambda: world.fargate.of_run(pending))
    world.fargate.next_tasks(fargate.start_agent)
    slow = world.api("POST", "/agent/environments", {"name": "slow", "setup_commands": ["sleep 600"]})
    claimed = world.accept("true", config={"environment_id": slow["uid"]})
    world.until(claimed, ("CLAIMED",))
    working = [world.accept("sleep 600") for _ in range(2)]
    for run in working:
        world.until(run, ("INPROGRESS",))
    queued = world.accept("sleep 600")
    world.until(queued, ("QUEUED",))
    for run in (queued, pending, claimed, *working):
        cancelled(run)
    assert not world.fargate.of_run(queued)
    world.quiet()


@story
def a_task_that_dies_at_once_is_tried_again_and_then_given_up(world):
    world.fargate.next_tasks(fargate.fails(1, "EssentialContainerExited", "Essential container in task exited"))
    ended = world.until(world.accept("true"), seconds=120)
    assert ended["state"] == "ERROR" and "exit code 1" in ended["status_message"]["message"], ended
    assert len(world.fargate.of_run(ended["run_id"])) == 3
    world.quiet()


@story
def a_task_that_takes_too_much_memory_is_not_tried_again(world):
    world.fargate.next_tasks(fargate.killed_for_memory)
    ended = world.until(world.accept("sleep 600"))
    told = ended["status_message"]
    assert ended["state"] == "FAILED" and told["error_code"] == "budget_exceeded" and "memory" in told["message"], ended
    assert len(world.fargate.of_run(ended["run_id"])) == 1
    world.quiet()


@story
def an_image_that_cannot_be_used_is_the_reason_on_the_run(world):
    pull = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref acme/none:1: not found"
    platform = "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/amd64'"
    for reason, word in ((pull, "docker_image"), (platform, "another architecture")):
        world.fargate.next_tasks(fargate.fails(None, "TaskFailedToStart", reason))
        ended = world.until(world.accept("true"))
        told = ended["status_message"]
        assert ended["state"] == "FAILED" and told["error_code"] == "environment_setup_failed", ended
        assert word in told["message"] and reason[:60] in told["message"], told
    world.quiet()


@story
def a_task_that_never_starts_is_given_up_and_tried_again(world):
    world.fargate.next_tasks(fargate.never_starts)
    run = world.accept("true")
    wait_until("its task starts", lambda: world.fargate.of_run(run))
    world.fargate.next_tasks(fargate.start_agent)

    def swept():
        world.invoke("sweep", {})
        return len(world.fargate.of_run(run)) == 2

    wait_until("the sweep gives it up", swept, 180, pause=2)
    assert world.until(run)["state"] == "SUCCEEDED"
    world.quiet()


@story
def a_spot_machine_that_is_taken_back_costs_another_try(world):
    spare = world.api("POST", "/agent/environments", {"name": "spare", "capacity": "spot"})
    world.fargate.next_tasks(fargate.interrupted)
    run = world.accept("sleep 2", config={"environment_id": spare["uid"]})
    wait_until("its task starts", lambda: world.fargate.of_run(run))
    world.fargate.next_tasks(fargate.start_agent)
    assert world.until(run)["state"] == "SUCCEEDED"
    tasks = world.fargate.of_run(run)
    assert len(tasks) == 2 and all(t.described.get("capacityProviderName", "FARGATE_SPOT") == "FARGATE_SPOT" for t in tasks)
    assert {event["detail"]["id"] for event in world.published(run)} == {f"{run}/2/SUCCEEDED"}
    world.quiet()


@story
def a_message_that_comes_three_times_does_one_thing(world):
    sqs = world.client("sqs")
    run = world.accept("true")
    for _ in range(3):
        tick = json.dumps({"type": "tick", "team": "main"})
        sqs.send_message(QueueUrl=world.output["TicksQueueUrl"], MessageBody=tick, MessageGroupId="main")
    assert world.until(run)["state"] == "SUCCEEDED"
    world.published(run)
    sealed = world.objects(run)
    for _ in range(3):
        end = json.dumps({"type": "complete", "team": "main", "run": run})
        sqs.send_message(QueueUrl=world.output["EndsQueueUrl"], MessageBody=end, MessageGroupId="main")
    [task] = world.fargate.of_run(run)
    # And so does its end.
    for _ in range(3):
        world.invoke("settle", task.event(0, "EssentialContainerExited", "Essential container in task exited", None))
    stale = task.event(None, "", "", None, status="RUNNING")
    stale["detail"]["version"] = 1
    world.invoke("settle", stale)
    after = world.accept("true")
    assert world.until(after)["state"] == "SUCCEEDED"
    assert world.objects(run) == sealed and len(world.fargate.of_run(run)) == 1
    assert {event["detail"]["id"] for event in world.published(run)} == {f"{run}/1/SUCCEEDED"}
    world.quiet()


@story
def a_poison_message_is_parked_and_its_batch_goes_on(world):
    sqs, parking = world.client("sqs"), world.output["ParkingQueueUrl"]
    poison = ["not json", '{"type": "unheard of"}', '{"type": "tick", "team": "NOT A TEAM"}', ""]
    entries = [{"Id": str(at), "MessageBody": body or " "} for at, body in enumerate(poison)]
    for queue in ("Ticks", "Ends", "Errands"):
        assert not sqs.send_message_batch(QueueUrl=world.output[f"{queue}QueueUrl"], Entries=entries).get("Failed")
    # What is understood, and belongs elsewhere.
    tick, end = json.dumps({"type": "tick", "team": "main"}), json.dumps({"type": "complete", "team": "main", "run": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10"})
    for queue, body in (("Ticks", end), ("Ends", tick), ("Errands", end)):
        sqs.send_message(QueueUrl=world.output[f"{queue}QueueUrl"], MessageBody=body, MessageGroupId="main")
    assert world.until(world.accept("true"))["state"] == "SUCCEEDED"
    world.invoke("settle", {"source": "aws.ecs", "detail": "nothing of the kind"})
    world.invoke("settle", {"hello": 1})
    world.invoke("schedule", {"detail": {"automation": 7}})
    parked = []

    def all_parked():
        parked.extend(json.loads(body) for body in world.messages(parking))
        return len(parked) >= 3 * (len(poison) + 1) + 3

    wait_until(lambda: f"all are parked: {parked}", all_parked)
    functions = sorted({message["function"] for message in parked})
    assert functions == ["announce", "dispatch", "notify", "schedule", "settle"], functions
    assert all(message["reason"] for message in parked), parked
    misplaced = sorted(message["reason"] for message in parked if message["reason"].startswith("it belongs"))
    assert misplaced == [
        "it belongs into the queue of ends, and dispatch takes from that of ticks",
        "it belongs into the queue of ends, and notify takes from that of errands",
        "it belongs into the queue of ticks, and announce takes from that of ends",
    ], misplaced
    world.quiet()


@story
def a_service_that_hangs_keeps_no_end_waiting(world):
    # No receiver can be reached from here: what hangs is the last that is asked before one is.
    hanging, held = threading.Event(), []

    def hang(call, body):
        if call == "DynamoDB.GetItem" and b"msg_" in body:
            held.append(body)
            hanging.wait(60)

    def log():
        return world.api("GET", "/subscriptions/slow/deliveries")["deliveries"]

    config = {"name": "slow", "url": "https://receiver.invalid/", "events": ["run.queued", "run.started", "run.succeeded"]}
    slow = world.api("POST", "/subscriptions", config)["id"]
    world.aws.answer = hang
    try:
        # More than any function takes from a queue at once here: five times ten.
        for ten in range(6):
            ids = [f"msg_0351BT5XclOIVf0Pcfe0{ten}{one}" for one in range(10)]
            errands = [{"type": "notify", "team": "main", "subscription": slow, "notification": name} for name in ids]
            entries = [{"Id": str(at), "MessageBody": json.dumps(errand)} for at, errand in enumerate(errands)]
            assert not world.client("sqs").send_message_batch(QueueUrl=world.output["ErrandsQueueUrl"], Entries=entries).get("Failed")
        wait_until(lambda: f"they hang: {len(held)}", lambda: len(held) >= 3)
        run = world.accept("true")
        assert world.until(run)["state"] == "SUCCEEDED"
        # Before the first of them gives up.
        world.published(run, seconds=30)
        wait_until("the audit is sealed", lambda: any("manifest/" in key for key in world.objects(run)), 30)
        wait_until(lambda: f"it is noted who is to be told: {log()}", lambda: len(log()) == 3)
        assert not any(told["attempts"] for told in log()), log()
    finally:
        world.aws.answer = lambda call, body: None
        hanging.set()
    wait_until(lambda: f"each is tried: {log()}", lambda: all(told["attempts"] and told["attempts"][0]["error"] for told in log()))
    world.api("DELETE", f"/subscriptions/{slow}")
    world.quiet()


@story
def nobody_who_speaks_to_services_can_seal(world):
    functions, roles = world.client("lambda"), world.client("iam")

    def may(function, action):
        """The resources on which a function may do that."""
        role = functions.get_function_configuration(FunctionName=world.output[f"{function.capitalize()}Function"])["Role"].rpartition("/")[2]
        found = []
        for name in roles.list_role_policies(RoleName=role)["PolicyNames"]:
            for statement in roles.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
                one_or_many = lambda value: value if isinstance(value, list) else [value]
                if action in one_or_many(statement["Action"]):
                    found += one_or_many(statement["Resource"])
        return found

    def those_who(action, word):
        return {function for function in FUNCTIONS if any(word in resource for resource in may(function, action))}

    read = "secretsmanager:GetSecretValue"
    assert those_who(read, "AuditSeed") == {"announce", "sweep"}
    assert those_who("events:PutEvents", ":event-bus/") == {"announce", "sweep"}
    assert those_who("s3:PutObject", "/manifest/") == {"announce", "sweep"}
    assert those_who(read, "/vault/") == {"executions", "notify"}
    assert len(may("announce", read)) == 1, may("announce", read)


@story
def what_got_lost_the_sweep_finds(world):
    # The sweep of the minute would find it first. One that is at work ends while it is made sure that all is quiet.
    world.delete_schedules()
    world.quiet()
    # The send of the tick fails, whatever the SDK tries; the run is accepted all the same.
    world.aws.answer = lambda call, body: (500, b'{"__type":"ServiceUnavailable"}') if call == "AmazonSQS.SendMessage" and b"tick" in body else None
    run = world.accept("true")
    world.aws.answer = lambda call, body: None
    assert world.state(run) == "QUEUED"
    world.invoke("sweep", {})
    assert world.until(run)["state"] == "SUCCEEDED"

    # An agent dies, and nobody is told. Its task goes on until then, however long that takes.
    world.fargate.events_lost = True
    dead = os.path.join(world.emulator.folder, "dead")

    def dies(_, task):
        task.start_agent()
        world.until(task.run, ("INPROGRESS",))
        os.killpg(task.process.pid, 9)
        task.process.wait()
        task.ends(137)

    world.fargate.next_tasks(dies)
    run = world.accept(f"until [ -e {dead} ]; do sleep 0.1; done")
    wait_until("the agent is dead", lambda: [task for task in world.fargate.of_run(run) if task.stopped])
    open(dead, "w").close()
    world.fargate.events_lost = False
    world.fargate.next_tasks(fargate.start_agent)
    assert world.state(run) == "INPROGRESS"

    def tried_again():
        world.invoke("sweep", {})
        return len(world.fargate.of_run(run)) == 2

    wait_until("the sweep finds the agent gone", tried_again, 180, pause=2)
    assert world.until(run)["state"] == "SUCCEEDED"

    # A task that nobody knows of.
    stray = world.client("ecs").run_task(
        cluster=world.output["ClusterArn"],
        taskDefinition=world.output["TaskDefinitionArn"],
        startedBy="019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10-1",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
    )["tasks"][0]["taskArn"]
    wait_until("it runs", lambda: stray in world.fargate.tasks)
    world.invoke("sweep", {})
    wait_until("it is stopped", lambda: world.fargate.tasks[stray].stopped)
    world.quiet()


@story
def an_event_starts_one_run_of_an_automation(world):
    automation = world.automation("true")
    event = {
        "version": "0", "id": "e-1", "source": "oz.schedule", "detail-type": "Scheduled", "account": "000000000000",
        "time": "2026-11-21T12:00:00Z", "region": "us-east-1", "resources": [], "detail": {"automation": automation["id"]},
    }
    before = {run["run_id"] for run in world.api("GET", "/agent/runs?limit=100")["runs"]}
    for _ in range(3):
        world.invoke("schedule", event)
    scheduled = {"automation": automation["id"], "scheduled_time": "2026-11-21T13:00:00Z"}
    for _ in range(2):
        world.invoke("schedule", scheduled)
    # And by the bus itself.
    entry = {"Source": "oz.schedule", "DetailType": "Scheduled", "EventBusName": world.output["BusName"], "Detail": json.dumps(event["detail"])}
    assert not world.client("events").put_events(Entries=[entry])["FailedEntryCount"]

    def new():
        runs = world.api("GET", "/agent/runs?limit=100")["runs"]
        return [run["run_id"] for run in runs if run["run_id"] not in before]

    wait_until(lambda: f"three runs: {new()}", lambda: len(new()) == 3)
    for run in new():
        assert world.until(run)["state"] == "SUCCEEDED"
    world.quiet()


@story
def an_environments_image_has_its_task_definition(world):
    ecs = world.client("ecs")

    def families():
        return ecs.list_task_definition_families(familyPrefix=f"{world.output['TaskFamily']}-main-", status="ACTIVE")["families"]

    assert not families()
    one = world.api("POST", "/agent/environments", {"name": "one", "docker_image": "acme/tools:1"})
    two = world.api("POST", "/agent/environments", {"name": "two", "docker_image": "acme/tools:1"})
    [family] = families()
    [agent] = [
        c for c in ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]["containerDefinitions"] if c["name"] == "agent"
    ]
    assert agent["image"] == "acme/tools:1" and agent["entryPoint"] == ["/ozma/oz-agent"], agent
    runs = [world.accept("true", config={"environment_id": one["uid"]}) for _ in range(3)]
    for run in runs:
        assert world.until(run)["state"] == "SUCCEEDED"
        [task] = world.fargate.of_run(run)
        assert f"/{family}:" in task.described["taskDefinitionArn"], task.described
    # Never per run.
    assert len(ecs.list_task_definitions(familyPrefix=family, status="ACTIVE")["taskDefinitionArns"]) == 1
    world.api("DELETE", f"/agent/environments/{two['uid']}")
    assert families() == [family], families()
    world.api("DELETE", f"/agent/environments/{one['uid']}")
    assert not families()
    world.quiet()


@story
def secrets_travel_in_the_claim_alone(world):
    value, elsewhere = "s3cr3t-value-of-the-vault", "s3cr3t-from-elsewhere"
    world.api("PUT", "/agent/secrets/NPM_TOKEN", {"value": value})
    arn = world.client("secretsmanager").create_secret(Name="elsewhere", SecretString=elsewhere)["ARN"]
    names = world.api("GET", "/agent/secrets")
    assert "NPM_TOKEN" in json.dumps(names) and value not in json.dumps(names), names
    environment = {"name": "secretive", "secrets": ["NPM_TOKEN"], "secret_references": {"OTHER_TOKEN": arn}}
    uid = world.api("POST", "/agent/environments", environment)["uid"]
    script = f'test "$NPM_TOKEN" = {value[:10]}"{value[10:]}" && test "$OTHER_TOKEN" = {elsewhere[:10]}"{elsewhere[10:]}" && env'
    run = world.accept(script, config={"environment_id": uid})
    ended = world.until(run)
    assert ended["state"] == "SUCCEEDED", ended
    [task] = world.fargate.of_run(run)
    assert value not in json.dumps(task.described, default=str)
    logs = world.oz("run", "logs", run).stdout
    assert "NPM_TOKEN" in logs and value not in logs and elsewhere not in logs, logs
    # The claim token worked once: whoever finds it in the task's description can do nothing with it.
    claim = {variable["name"]: variable["value"] for o in task.overrides["containerOverrides"] for variable in o["environment"]}
    body = {"claim_token": claim["OZ_CLAIM_TOKEN"], "execution_token": "oze_" + "A" * 43 + "00000000", "isolation": "fargate", "agent_version": "x"}
    status, answer = world.http("POST", f"/executions/{claim['OZ_EXECUTION_ID']}/claim", body)
    assert status in (400, 401, 409) and value not in json.dumps(answer), (status, answer)
    world.api("DELETE", "/agent/secrets/NPM_TOKEN")
    ended = world.until(world.accept("true", config={"environment_id": uid}))
    assert ended["state"] == "FAILED" and "oz secret create NPM_TOKEN" in ended["status_message"]["message"], ended
    world.quiet()


@story
def a_function_without_its_variables_says_which(world):
    for name, variable in (("webhook", "OZ_"), ("dispatch", "OZ_CLAIM_KEY_SECRET"), ("announce", "OZ_AUDIT_SEED_SECRET"), ("notify", "OZ_WEBHOOK_KEY_SECRET"), ("settle", "OZ_")):
        folder = os.path.join(world.emulator.folder, f"bare-{name}")
        with zipfile.ZipFile(os.path.join(os.environ["OZ_ZIPS"], f"{name}.zip")) as packed:
            program = packed.extract("bootstrap", folder)
        os.chmod(program, 0o755)
        environment = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and variable in done.stderr and "is not set" in done.stderr, (name, done.stderr)


@story
def hostile_requests_change_nothing(world):
    before = len(world.rows("run#"))
    assert world.http("GET", "/api/v1/agent/runs")[0] == 401
    assert world.http("GET", "/api/v1/agent/runs", headers={"authorization": "Bearer ozk_x"})[0] == 401
    assert world.http("POST", "/webhooks/0000000000000000000000", b"{}")[0] in (400, 401, 404)
    assert world.http("POST", "/executions/not-an-execution/claim", {})[0] == 400
    assert world.http("GET", "/nowhere")[0] == 404
    assert world.http("GET", "/health")[0] == 200
    key = {"authorization": f"Bearer {world.admin_key}"}
    assert world.http("POST", "/api/v1/agent/runs", b"\xff{", key)[0] == 400
    status, answer = world.http("POST", "/api/v1/agent/runs", {"prompt": 7}, key)
    assert status == 400 and "prompt" in json.dumps(answer), answer
    assert len(world.rows("run#")) == before
    world.quiet()


def main(words):
    chosen = [told for told in STORIES if not words or any(word in told.__name__ for word in words)]
    if not chosen:
        sys.exit(f"no story is named like {words}; there are: " + ", ".join(told.__name__ for told in STORIES))
    begun = time.monotonic()
    world = World(parameters={"StartSeconds": 10})
    print(f"the stack stands after {time.monotonic() - begun:.1f} s", flush=True)
    failed = []
    try:
        for told in chosen:
            at = time.monotonic()
            world.fargate.next_tasks(fargate.start_agent)
            try:
                told(world)
                print(f"  ok    {told.__name__} ({time.monotonic() - at:.1f} s)", flush=True)
            except Exception:
                failed.append(told.__name__)
                print(f"  FAIL  {told.__name__}", flush=True)
                traceback.print_exc()
                world.print_errors()
                if os.environ.get("KEEP"):
                    print(f"logs: {world.emulator.log.name}; endpoint http://127.0.0.1:{world.emulator.port}")
                    input("press return to go on")
    finally:
        world.close()
    print(f"{len(chosen) - len(failed)} of {len(chosen)} stories of the deployed system passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
