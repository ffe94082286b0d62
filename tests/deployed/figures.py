"""Measures what Lambda would see of the functions, and how fast a freed slot is used again; writes the section
"On AWS (emulated)" of docs/benchmarks.md. Figures mean something with zips built for release (OZ_ZIPS)."""

import argparse
import collections
import io
import itertools
import json
import os
import platform
import re
import subprocess
import threading
import time
import zipfile

from lambdas import Function, example, of_http, of_queue
from warm import Warm
from world import FUNCTIONS, ROOT, World

HEADING = "## On AWS (emulated)"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def p50(values):
    return percentile(values, 0.5)


# ---- (a, b) The functions ----


def workloads(warm):
    """Events for each function: a name for what it does, and a function that makes the next event."""
    world, output = warm.world, warm.world.output
    automation = world.automation("cargo test")
    run = warm.whole_run(automation, 60)
    ended = warm.world.fargate.of_run(run)[0].event(0, "EssentialContainerExited", "Essential container in task exited", None)
    # A run that is at work, for segments.
    working = warm.webhook(automation, b"{}")
    warm.drain("dispatch")
    agent = warm.agent(working)
    agent.claim()
    agent.call("start", "POST", "start")
    number = itertools.count()
    key = {"authorization": f"Bearer {world.admin_key}"}

    def scheduled():
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_800_000_000 + 60 * next(number)))
        return {**example("schedule-scheduler"), "automation": automation["id"], "scheduled_time": at}

    tick = json.dumps({"type": "tick", "team": "main"})
    complete = json.dumps({"type": "complete", "team": "main", "run": run})
    answer = json.dumps({"type": "answer", "team": "main", "run": run})
    event = lambda made: lambda: made
    return {
        "webhook": ("a signed webhook, accepted", lambda: warm.signed(automation, b'{"type":"deployment.requested"}')),
        "api": ("`GET` of a run", event(of_http("GET", f"/api/v1/agent/runs/{run}", headers=key))),
        "executions": ("a segment of 50 lines", agent.next_segment),
        "schedule": ("a scheduled run, accepted", scheduled),
        "dispatch": ("a tick without a free slot or a run", event(of_queue([tick]))),
        "settle": ("a stop that is known", event(ended)),
        "sweep": ("one agent at work, nothing to repair", event(example("sweep-scheduled"))),
        "announce": ("an end that is published", event(of_queue([complete]))),
        "notify": ("a run that nobody is told of", event(of_queue([answer]))),
    }


def check_answer(name, answer):
    """Whatever is measured has to have worked."""
    if name in ("webhook", "api", "executions"):
        assert answer["statusCode"] in (200, 202), (name, answer)
    if name in ("dispatch", "announce", "notify"):
        assert not (answer or {}).get("batchItemFailures"), (name, answer)


def measure_functions(functions, starts, invocations, empty):
    """Rows of the functions, and of an empty one when there is a program of it."""
    warm = Warm()
    try:
        warm.start()
        loads = workloads(warm)
        rows = {}
        # Those that accept runs come last: what they leave waiting would be work for the others.
        for name in sorted(functions, key=lambda name: (name in ("webhook", "schedule"), name)):
            what, event = loads[name]
            size = os.path.getsize(os.path.join(os.environ["OZ_ZIPS"], f"{name}.zip"))
            rows[name] = (what, size, *measure_function(warm.functions[name], event, starts, invocations))
            print(f"  {name}: {rows[name]}", flush=True)
        if empty:
            function = Function(warm.world, "empty", os.path.abspath(empty))
            rows["empty"] = ("its event back", packed_bytes(empty), *measure_function(function, dict, starts, invocations))
            print(f"  empty: {rows['empty']}", flush=True)
            function.close()
        return {name: rows[name] for name in [*FUNCTIONS, "empty"] if name in rows}
    finally:
        warm.close()


def packed_bytes(program):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(program, "bootstrap")
    return len(packed.getvalue())


def measure_function(function, event, starts, invocations):
    """Seconds of start, of an invocation, of processor for one, and bytes resident at most; times are medians."""
    inits, own_inits = [], []
    for _ in range(starts):
        function.stop()
        inits.append(function.start())
        own_inits.append(function.processor())
    done = []
    # The first one opens connections.
    for number in range(invocations + 1):
        invocation = function.invoke(event())
        check_answer(function.name, invocation.answer)
        if number:
            done.append(invocation)
    waiting = [sum(exchange.ended - exchange.began for exchange, *_ in each.exchanges) for each in done]
    return p50(inits), p50(own_inits), p50([each.seconds for each in done]), p50(waiting), p50([each.processor for each in done]), function.most_memory()


# ---- (c) From a freed slot to the next container ----


def measure_slots(plan, runs):
    """Seconds from each write that frees a slot to the next `RunTask`, while runs wait."""
    world = World(plan=plan)
    try:
        freed, launched, seen = collections.deque(), [], threading.Lock()

        def passed(exchange):
            with seen:
                if exchange.status == 200 and frees_slot(exchange):
                    freed.append(exchange.ended)
                elif exchange.call.endswith(".RunTask") and freed and freed[0] <= exchange.began:
                    launched.append(exchange.began - freed.popleft())

        world.aws.passed = passed
        accepted = [world.accept("true") for _ in range(runs)]
        for run in accepted:
            assert world.until(run, seconds=1_200)["state"] == "SUCCEEDED"
        return launched
    finally:
        world.close()


def frees_slot(exchange):
    if exchange.call not in ("DynamoDB.TransactWriteItems", "DynamoDB.DeleteItem"):
        return False
    asked = json.loads(exchange.body)
    deletes = [asked] if exchange.call.endswith(".DeleteItem") else [item["Delete"] for item in asked["TransactItems"] if "Delete" in item]
    return any("#slots" in delete["Key"]["pk"]["S"] for delete in deletes)


# ---- The section ----


def ms(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.1f} ms"


def section(rows, slots, given):
    machine = machine_line()
    command = "OZ_ZIPS=… tests/deployed/figures" + (" --empty …" if "empty" in (rows or {}) else "")
    out = [HEADING, "", f"`{command}`: functions of {os.environ.get('OZ_BUILD', 'debug')} builds, {machine}.", ""]
    if rows:
        out += [
            f"Each function in a process that is kept, as Lambda keeps it, against the emulator: {given.starts} starts and {given.invocations} invocations, medians.",
            "Init is from the start of the process until it asks for its first event; it reads its secrets meanwhile. Own is the",
            "processor's time; what is neither own nor waiting is the gate's, which looks up the rows that are written.", "",
            "| function | zip | init | own init | invocation | warm | of it waiting | own | resident |", "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
        ]
        for name, (what, size, init, own_init, seconds, waiting, own, memory) in rows.items():
            out.append(f"| {name} | {size / 1e6:.1f} MB | {ms(init)} | {ms(own_init)} | {what} | {ms(seconds)} | {ms(waiting)} | {ms(own)} | {memory / 2**20:.1f} MiB |")
    if "webhook" in (rows or {}):
        webhook = rows["webhook"]
        out += ["", f"The aims for an accepted webhook: own at most 1.5 ms ({ms(webhook[6])}), resident at most 25 MiB ({webhook[7] / 2**20:.1f} MiB)"]
        if "empty" in rows:
            ratio, own_ratio = webhook[2] / rows["empty"][2], webhook[3] / rows["empty"][3]
            out[-1] += ","
            out.append(f"init at most 2.5 times that of an empty function of the same build ({ratio:.1f} times; of the processor's time {own_ratio:.1f} times)")
        out[-1] += "."
    out.append("")
    if slots:
        out += [
            f"From the write that frees a slot to the next `RunTask`, {given.runs} runs of `true` on the plan `{given.plan}`, {len(slots)} slots freed while runs waited:",
            f"p50 {ms(p50(slots))}, p95 {ms(percentile(slots, 0.95))}. Each contains the start of a process, because the emulator starts one for every event,",
            "and the end of the one before, because it hands over one batch of a queue after the other; with agents on the same processors.", "",
        ]
    return "\n".join(out)


def machine_line():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    return f"at {told} on {os.cpu_count()} vCPU ({model.group(1) if model else platform.machine()}), load {os.getloadavg()[0]:.1f}, Linux {platform.release().split('-')[0]}"


def write(path, text):
    """Puts the section in the place of the one that is there, or at the end."""
    with open(path) as file:
        before, _, rest = file.read().partition(HEADING)
    _, mark, after = rest.partition("\n## ")
    with open(path, "w") as file:
        file.write(before.rstrip() + "\n\n" + text.rstrip() + "\n" + (mark + after if mark else ""))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--starts", type=int, default=20)
    options.add_argument("--invocations", type=int, default=100)
    options.add_argument("--functions", nargs="*", choices=FUNCTIONS, default=FUNCTIONS, metavar="NAME", help="these alone")
    options.add_argument("--empty", help="a function that does nothing, built the same way, to compare with")
    options.add_argument("--plan", default="free")
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--only", choices=["functions", "slots"])
    options.add_argument("--print", action="store_true", help="to the terminal, not into docs/benchmarks.md")
    given = options.parse_args()
    rows = measure_functions(given.functions, given.starts, given.invocations, given.empty) if given.only != "slots" else None
    slots = measure_slots(given.plan, given.runs) if given.only != "functions" else None
    text = section(rows, slots, given)
    if given.print:
        print(text)
    else:
        write(os.path.join(ROOT, "docs/benchmarks.md"), text)


if __name__ == "__main__":
    main()
