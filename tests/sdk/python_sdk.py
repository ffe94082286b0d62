"""The official Python SDK against a running control plane: OZ_API_BASE_URL and WARP_API_KEY say which.

Written for the newest release and for 0.11, whose clients lack some of the methods.
"""

import asyncio
import inspect
import os
import sys
import time
import traceback
import uuid
from datetime import datetime, timedelta, timezone

import oz_agent_sdk
from oz_agent_sdk import AsyncOzAPI, OzAPI

SHELL = {"harness": {"type": "shell"}}
TERMINAL = {"SUCCEEDED", "FAILED", "ERROR", "BLOCKED", "CANCELLED"}

passed, failed = 0, 0


def report(name, error=None):
    global passed, failed
    if error is None:
        passed += 1
        print(f"ok      {name}", flush=True)
    else:
        failed += 1
        print(f"FAILED  {name}", flush=True)
        traceback.print_exception(error, file=sys.stdout)


def check(test):
    """Runs one test and counts it; what it promises is its name."""
    name = test.__name__.replace("_", " ")
    try:
        if inspect.iscoroutinefunction(test):
            asyncio.run(test())
        else:
            test()
    except Exception as error:  # a test may fail in any way
        report(name, error)
    else:
        report(name)


def raises(kind, status, call):
    """Calls, and holds the error against its class, its status and the members of a problem."""
    try:
        call()
    except oz_agent_sdk.APIStatusError as error:
        problem_of(error, kind, status)
        return error
    raise AssertionError(f"no {kind.__name__}")


def problem_of(error, kind, status):
    assert type(error) is kind, error
    assert error.status_code == status, error.status_code
    for member in ("type", "title", "status", "error", "instance", "retryable", "trace_id"):
        assert member in error.body, (member, error.body)
    assert error.body["status"] == status
    assert error.response.headers["content-type"] == "application/problem+json"


def wait_for_end(client, run_id):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        run = client.agent.runs.retrieve(run_id)
        if run.state in TERMINAL:
            return run
        time.sleep(0.2)
    raise AssertionError(f"{run_id} is still {run.state}")


client = OzAPI()


@check
def a_run_is_created_retrieved_and_ends():
    created = client.agent.run(prompt='echo "hello from $OZ_RUN_ID"', config=SHELL, title="A title", team=True)
    assert created.run_id == created.task_id and created.state == "QUEUED", created
    run = wait_for_end(client, created.run_id)
    assert run.state == "SUCCEEDED", run
    assert run.title == "A title" and run.source == "API" and run.agent_config.harness.type == "shell", run
    assert isinstance(run.created_at, datetime) and run.started_at >= run.created_at, run
    assert f"hello from {created.run_id}" in run.status_message.message, run.status_message


@check
def a_failure_of_the_task_is_told():
    run = wait_for_end(client, client.agent.run(prompt="exit 3", config=SHELL).run_id)
    assert run.state == "FAILED" and "3" in run.status_message.message, run


@check
def a_list_goes_on_over_pages():
    name = f"pages-{uuid.uuid4()}"
    made = [client.agent.run(prompt="true", config={**SHELL, "name": name}).run_id for _ in range(7)]
    page = client.agent.runs.list(name=name, limit=3, sort_by="created_at", sort_order="asc")
    assert [run.run_id for run in page.runs] == made[:3], page
    assert page.has_next_page() and page.page_info.next_cursor, page
    assert [run.run_id for run in page] == made, "all of them, once, in order"
    newest_first = client.agent.runs.list(name=name, limit=2, sort_by="created_at")
    assert [run.run_id for run in newest_first] == made[::-1]
    for run_id in made:
        wait_for_end(client, run_id)
    by_update = [run.run_id for run in client.agent.runs.list(name=name, limit=2)]
    assert sorted(by_update) == sorted(made), by_update
    by_title = client.agent.runs.list(name=name, limit=4, sort_by="title", sort_order="asc", state=["SUCCEEDED", "FAILED"])
    assert len(list(by_title)) == 7


@check
def filters_arrive():
    name = f"filters {uuid.uuid4()}"
    body = {"metadata": {"ticket.id": "a b&c"}}
    run_id = client.agent.run(prompt="true # needle", config={**SHELL, "name": name}, extra_body=body).run_id

    def finds(count, **filters):
        extra = filters.pop("extra_query", None)
        found = [run.run_id for run in client.agent.runs.list(name=name, extra_query=extra, **filters)]
        assert found == [run_id] * count, (filters, found)

    now = datetime.now(timezone.utc)
    finds(1)
    finds(1, q="NEEDLE true", source="API", environment_id="empty-environment", execution_location="REMOTE")
    finds(0, q="haystack")
    finds(0, source="CLI")
    finds(1, state=["QUEUED", "PENDING", "CLAIMED", "INPROGRESS", "SUCCEEDED"])
    finds(0, state=["ERROR", "BLOCKED"])
    finds(1, created_after=now - timedelta(hours=1), created_before=now + timedelta(hours=1))
    finds(0, created_after=now + timedelta(hours=1))
    finds(1, created_after=(now - timedelta(hours=1)).isoformat(), updated_after="2020-01-01T00:00:00Z")
    finds(1, extra_query={"metadata": {"ticket.id": "a b&c"}})
    finds(0, extra_query={"metadata": {"ticket.id": "other"}})


@check
def cancel_answers_with_the_quoted_id_and_once():
    run_id = client.agent.run(prompt="sleep 60", config=SHELL).run_id
    assert client.agent.runs.cancel(run_id) == f'"{run_id}"'
    assert client.agent.runs.retrieve(run_id).state == "CANCELLED"
    error = raises(oz_agent_sdk.BadRequestError, 400, lambda: client.agent.runs.cancel(run_id))
    assert error.body["type"].endswith("/invalid_request"), error.body


@check
def environments_are_listed():
    name = f"sdk-{uuid.uuid4().hex}"
    config = {"name": name, "github_repos": [{"owner": "acme", "repo": "web"}]}
    uid = client.post("/agent/environments", body=config, cast_to=object)["uid"]
    if not hasattr(client.agent, "list_environments"):
        listed = client.get("/agent/environments", cast_to=object)["environments"]
        assert uid in [environment["uid"] for environment in listed]
        return
    strict = OzAPI(_strict_response_validation=True)
    for sort_by in ("name", "last_updated"):
        environments = {e.uid: e for e in strict.agent.list_environments(sort_by=sort_by).environments}
        assert environments[uid].config.name == name and not environments[uid].setup_failed
        assert environments[uid].config.github_repos[0].owner == "acme"
    run_id = client.agent.run(prompt="cancelled soon", config={**SHELL, "environment_id": uid}).run_id
    client.agent.runs.cancel(run_id)
    found = [run.run_id for run in client.agent.runs.list(environment_id=uid)]
    assert found == [run_id]


@check
def identities_are_managed_and_run():
    identities = getattr(OzAPI(_strict_response_validation=True).agent, "agent", None)
    if not hasattr(identities, "get"):
        return
    name = f"sdk-{uuid.uuid4().hex}"
    made = identities.create(name=name, description="d", prompt="Be kind.", secrets=[])
    assert (made.name, made.available, made.default_runner_uid, made.skills) == (name, True, "", []), made
    assert identities.get(made.uid) == made
    assert made.uid in [agent.uid for agent in identities.list().agents]
    changed = identities.update(made.uid, description="")
    assert (changed.description, changed.prompt) == (None, "Be kind."), changed
    run_id = client.agent.run(prompt="true", agent_identity_uid=made.uid, config=SHELL).run_id
    run = client.agent.runs.retrieve(run_id)
    assert (run.executor.uid, run.agent_config.base_prompt) == (made.uid, "Be kind."), run
    assert [run.run_id for run in client.agent.runs.list(executor=made.uid)] == [run_id]
    assert identities.delete(made.uid) is None
    raises(oz_agent_sdk.NotFoundError, 404, lambda: identities.get(made.uid))


@check
def strict_clients_take_what_is_answered():
    strict = OzAPI(_strict_response_validation=True)
    created = strict.agent.run(prompt="true", config=SHELL)
    # Strictly, no harness but the vendor's exists: the answer holds the one that was asked for.
    try:
        strict.agent.runs.retrieve(created.run_id)
    except oz_agent_sdk.APIResponseValidationError as error:
        assert "harness" in str(error.__cause__) and "1 validation error" in str(error.__cause__), error.__cause__


@check
def errors_have_their_classes():
    sdk = oz_agent_sdk
    raises(sdk.NotFoundError, 404, lambda: client.agent.runs.retrieve("01900000-0000-7000-8000-000000000000"))
    raises(sdk.NotFoundError, 404, lambda: client.agent.runs.retrieve("no/such run"))
    raises(sdk.NotFoundError, 404, lambda: client.get("/agent/nowhere", cast_to=object))
    error = raises(sdk.BadRequestError, 400, lambda: client.agent.run(config=SHELL))
    assert "prompt" in error.body["detail"], error.body
    raises(sdk.BadRequestError, 400, lambda: client.agent.run())
    raises(sdk.BadRequestError, 400, lambda: client.agent.runs.list(limit=501))
    raises(sdk.BadRequestError, 400, lambda: client.agent.runs.list(cursor="x"))
    raises(sdk.UnprocessableEntityError, 422, lambda: client.agent.run(prompt="x", skill="a/b:c"))
    for key in ("wk-1", client.api_key[:-1]):
        raises(sdk.AuthenticationError, 401, lambda: OzAPI(api_key=key).agent.runs.list())


@check
def an_idempotency_key_is_honoured_and_not_retried_in_vain():
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = client.agent.run(prompt="true", config=SHELL, extra_headers=headers)
    again = client.agent.run(prompt="true", config=SHELL, extra_headers=headers)
    assert first.run_id == again.run_id
    started = time.monotonic()
    raises(
        oz_agent_sdk.ConflictError,
        409,
        lambda: client.agent.run(prompt="false", config=SHELL, extra_headers=headers),
    )
    assert time.monotonic() - started < 0.4, "the SDK was told not to try again"


@check
async def the_async_client_does_the_same():
    async with AsyncOzAPI() as client:
        name = f"async-{uuid.uuid4()}"
        configs = [{**SHELL, "name": name}] * 5
        made = await asyncio.gather(*(client.agent.run(prompt="sleep 60", config=config) for config in configs))
        listed = [run.run_id async for run in client.agent.runs.list(name=name, limit=2)]
        assert sorted(listed) == sorted(run.run_id for run in made), listed
        for run in made:
            assert await client.agent.runs.cancel(run.run_id) == f'"{run.run_id}"'
            assert (await client.agent.runs.retrieve(run.run_id)).state == "CANCELLED"
        if hasattr(client.agent, "list_environments"):
            await client.agent.list_environments()
        for kind, status, call in (
            (oz_agent_sdk.NotFoundError, 404, client.agent.runs.retrieve("x")),
            (oz_agent_sdk.BadRequestError, 400, client.agent.run(config=SHELL)),
            (oz_agent_sdk.AuthenticationError, 401, AsyncOzAPI(api_key="wk-1").agent.runs.retrieve("x")),
        ):
            try:
                await call
            except oz_agent_sdk.APIStatusError as error:
                problem_of(error, kind, status)
            else:
                raise AssertionError(f"no {kind.__name__}")


print(f"oz-agent-sdk {oz_agent_sdk.__version__} for Python, {os.environ['OZ_API_BASE_URL']}")
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
