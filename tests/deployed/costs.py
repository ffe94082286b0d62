"""Writes docs/costs.md: counts what one run asks of AWS, and prices it. No figure of it is written by hand.

What is counted: the requests of every function, each behind a gate of its own, while a run goes from its signed webhook to
its sealed trail and published outcome. What is measured: the processor each function takes, and the bytes it logs. What is
assumed, because an emulator cannot tell: how long AWS takes to answer (`ANSWERS_MS`)."""

import collections
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys

import fargate
from lambdas import example
from warm import Warm, flushes
from world import FUNCTIONS, ROOT

RUNS, SECONDS, MILLION = 10, 600, 1_000_000
MONTH_HOURS = 730
AIMS = {"control": 25, "all": 120, "share": 0.01, "idle": 3, "units": 22}

# us-east-1, US dollars, no free tier: what, price, per, source.
LIST = "AWS price list, as in Infracost's test data"
PRICES = {
    "gateway": (1.00, 1e6, "API Gateway, HTTP API: request to 512 KB", f"{LIST} of July 2024"),
    "invocation": (0.20, 1e6, "Lambda: request", f"{LIST} of July 2024"),
    "gb_second": (0.0000133334, 1, "Lambda: GB-second, arm64", f"{LIST} of July 2024"),
    "gb_second_x86": (0.0000166667, 1, "Lambda: GB-second, x86-64", f"{LIST} of July 2024"),
    "sqs": (0.40, 1e6, "SQS, standard queue: request to 64 KB", f"{LIST} of July 2024"),
    "write": (0.625, 1e6, "DynamoDB on demand: write unit", f"{LIST} of 15 November 2024"),
    "read": (0.125, 1e6, "DynamoDB on demand: read unit", f"{LIST} of 15 November 2024"),
    "rows": (0.25 + 0.20, 1, "DynamoDB: GB-month, with point-in-time recovery", f"{LIST} of 15 November 2024"),
    "s3_put": (0.005, 1e3, "S3 Standard: PUT, LIST", f"{LIST} of July 2024"),
    "s3_get": (0.0004, 1e3, "S3 Standard: GET, HEAD", f"{LIST} of July 2024"),
    "objects": (0.023, 1, "S3 Standard: GB-month", f"{LIST} of July 2024"),
    "event": (1.00, 1e6, "EventBridge: own event to 64 KB", f"{LIST} of July 2024"),
    "schedule": (1.00, 1e6, "EventBridge Scheduler: invocation", "AWS's pricing page, quoted in 2026"),
    "logs": (0.50, 1, "CloudWatch Logs: GB taken in", f"{LIST} of July 2024"),
    "metric": (0.30, 1, "CloudWatch: own metric, month", "AWS's pricing page, not checked again"),
    "alarm": (0.10, 1, "CloudWatch: alarm, month", "AWS's pricing page, not checked again"),
    "secret": (0.40, 1, "Secrets Manager: secret, month", f"{LIST} of July 2024"),
    "secret_call": (0.05, 1e4, "Secrets Manager: request", f"{LIST} of July 2024"),
    "x86_cpu": (0.04048, 1, "Fargate x86-64: vCPU-hour", f"{LIST} of 7 July 2025"),
    "x86_memory": (0.004445, 1, "Fargate x86-64: GB-hour", f"{LIST} of 7 July 2025"),
    "arm_cpu": (0.03238, 1, "Fargate ARM: vCPU-hour", "AWS's pricing page, read on 9 October 2026"),
    "arm_memory": (0.00356, 1, "Fargate ARM: GB-hour", "AWS's pricing page, read on 9 October 2026"),
    "address": (0.005, 1, "Public IPv4 address: hour", "AWS's pricing page, not checked again"),
}
PLANS = {"free": (2, 4), "build": (4, 8), "max": (8, 16)}

# Until AWS answers inside a region, in milliseconds: assumptions, on the careful side of what is commonly seen.
ANSWERS_MS = {
    "DynamoDB.TransactWriteItems": 15, "DynamoDB.PutItem": 8, "DynamoDB.UpdateItem": 8, "DynamoDB.DeleteItem": 8,
    "DynamoDB": 5, "S3.PUT": 40, "S3": 20, "AmazonSQS": 12, "AWSEvents": 30, "scheduler": 50, "secretsmanager": 30,
    "AmazonEC2ContainerService.RunTask": 700, "AmazonEC2ContainerService": 80,
}
# A function has this much memory for each vCPU it gets.
MEMORY_OF_A_CPU = 1_769

# What Lambda itself logs of an invocation at level INFO, in JSON: `platform.start` and `platform.report`.
SYSTEM_LINES = (
    '{"time":"2026-11-21T02:15:30.123Z","type":"platform.start","record":{"requestId":"8b2f6f0e-7d0c-4e44-9d5c-3a1f0c9b7e21","version":"$LATEST"}}',
    '{"time":"2026-11-21T02:15:30.456Z","type":"platform.report","record":{"requestId":"8b2f6f0e-7d0c-4e44-9d5c-3a1f0c9b7e21",'
    '"metrics":{"durationMs":123.456,"billedDurationMs":124,"memorySizeMB":512,"maxMemoryUsedMB":32},"status":"success"}}',
)
# CloudWatch adds this to each line.
LINE_BYTES = 26


def answer_ms(call):
    """The longest name in the table that the call begins with."""
    return ANSWERS_MS[max((name for name in ANSWERS_MS if call.startswith(name)), key=len)]


def waits(invocation):
    """Each request with its units and the milliseconds that it makes its function wait on AWS. Of requests that are under
    way at the same time, each counts for the part of the time that it would take alone."""
    groups = []
    for entry in sorted(invocation.exchanges, key=lambda entry: entry[0].began):
        if not groups or entry[0].began >= max(other.ended for other, *_ in groups[-1]):
            groups.append([])
        groups[-1].append(entry)
    for group in groups:
        together = max(exchange.ended for exchange, *_ in group) - group[0][0].began
        alone = sum(exchange.ended - exchange.began for exchange, *_ in group)
        for exchange, read, write in group:
            yield exchange.call, read, write, answer_ms(exchange.call) * min(1, together / alone)


def template():
    with open(os.path.join(ROOT, "infra/template.yaml")) as file:
        return file.read()


def access_line_bytes():
    """One line of the API's access log, with values of usual length."""
    found = re.search(r"AccessLogSettings:.*?Format: (>-)?\s*(.*?)\n\s*\n", template(), re.S)
    if not found:
        return 0
    usual = {
        "requestId": "TgK9dhGQFiAEJ2A=", "requestTime": "21/Nov/2026:02:15:30 +0000", "httpMethod": "POST", "routeKey": "ANY /executions/{proxy+}",
        "status": "200", "responseLatency": "123", "integrationStatus": "200", "integrationErrorMessage": "-", "responseLength": "123",
        "identity.userAgent": "oz-agent/0.1.0",
    }
    line = re.sub(r"\n\s*", "", found.group(2))
    return len(re.sub(r"\$context\.([A-Za-z.]+)", lambda name: usual[name.group(1)], line)) + LINE_BYTES


def system_bytes():
    """What Lambda logs of each invocation by itself; nothing where the template asks for warnings only."""
    quiet = re.search(r"SystemLogLevel: (WARN|ERROR)", template())
    return 0 if quiet else sum(len(line) + LINE_BYTES for line in SYSTEM_LINES)


class Bill:
    """Quantities by the name of their price, in two columns: the control plane's and the audit stream's."""

    def __init__(self):
        self.control, self.audit = collections.Counter(), collections.Counter()

    def add(self, audit, price, quantity):
        (self.audit if audit else self.control)[price] += quantity

    def cost(self, quantities, times=MILLION):
        return sum(cost_of(price, quantity) for price, quantity in quantities.items()) * times


def cost_of(price, quantity):
    return PRICES[price][0] / PRICES[price][1] * quantity


def charge(bill, function, stage, invocation, memory):
    """One invocation. Segments are the audit stream; so are the archive's requests when a trail is sealed."""
    audit = stage == "segments"
    bill.add(audit, "invocation", 1)
    if function in ("webhook", "executions", "api"):
        bill.add(audit, "gateway", 1)
        bill.add(audit, "logs", access_line_bytes() / 1e9)
    logged = sum(len(line) + LINE_BYTES for line in invocation.log)
    bill.add(audit, "logs", (system_bytes() + logged) / 1e9)
    # A part of a processor takes longer by as much.
    busy = invocation.processor * max(1, MEMORY_OF_A_CPU / memory)
    bill.add(audit, "gb_second", busy * memory / 1024)
    for call, read, write, waited in waits(invocation):
        of_archive = audit or call.startswith("S3.")
        bill.add(of_archive, "gb_second", waited / 1000 * memory / 1024)
        bill.add(of_archive, "read", read)
        bill.add(of_archive, "write", write)
        price = {"AmazonSQS": "sqs", "AWSEvents": "event", "secretsmanager": "secret_call"}.get(call.split(".")[0])
        if call.startswith("S3."):
            # A list names no object.
            price = "s3_put" if re.match(r"S3\.(PUT|POST|GET$)", call) else "s3_get"
        if price:
            bill.add(of_archive, price, 1)


def renewals():
    """Segments that also renew the lease: the first after each heartbeat."""
    with open(os.path.join(ROOT, "shared/boot/src/aws/mod.rs")) as source:
        heartbeat = int(re.search(r"HEARTBEAT_SECONDS: i64 = (\d+)", source.read()).group(1))
    renewed, times = 0, 0
    for at in flushes(SECONDS):
        if at - renewed >= heartbeat:
            renewed, times = at, times + 1
    return times


def agent_log_bytes(world):
    """What the agent's container logs: a real one runs, through the emulator's own functions."""
    world.fargate.next_tasks(fargate.start_agent)
    run = world.accept("true")
    assert world.until(run)["state"] == "SUCCEEDED"
    world.published(run)
    [task] = world.fargate.of_run(run)
    world.fargate.next_tasks(fargate.never_starts)
    with open(task.log.name, "rb") as log:
        return sum(len(line) + LINE_BYTES for line in log.read().splitlines())


def measure():
    """Runs, and sweeps with nothing to do: bills of each, and what was seen."""
    warm = Warm(before=agent_log_bytes)
    try:
        warm.start()
        automation = warm.world.automation("cargo test")
        warm.whole_run(automation, SECONDS)
        memory = {name: function.memory for name, function in warm.functions.items()}
        bills, seen = [], []
        for _ in range(RUNS):
            warm.invocations.clear()
            warm.messages = 0
            run = warm.whole_run(automation, SECONDS)
            bill = Bill()
            for stage, name, invocation in warm.invocations:
                charge(bill, name, stage, invocation, memory[name])
            # A mapping receives each message and deletes it.
            bill.add(False, "sqs", 2 * warm.messages)
            bill.add(True, "write", renewals())
            bill.add(True, "gb_second", renewals() * answer_ms("DynamoDB.UpdateItem") / 1000 * memory["executions"] / 1024)
            bill.add(False, "logs", warm.found_before / 1e9)
            bill.add(False, "rows", warm.bytes_of_rows(run) / 1e9)
            bill.add(True, "objects", warm.bytes_of_objects(run) / 1e9)
            bills.append(bill)
            seen.append(list(warm.invocations))
        sweeps, swept = [], False
        while len(sweeps) < RUNS:
            warm.invocations.clear()
            warm.invoke("sweep", "sweep", example("sweep-scheduled"))
            bill = Bill()
            [(stage, name, invocation)] = warm.invocations
            charge(bill, name, stage, invocation, memory[name])
            # Once after the last run's end it writes how far it has come. The first one is cold.
            if bill.control["write"] == 0 and bill.control["secret_call"] == 0 and swept:
                sweeps.append((bill, invocation))
            swept = True
        return bills, seen, sweeps, memory
    finally:
        warm.close()


def mean(bills):
    """The mean of several bills: counts are the same in each, the processor's time is not quite."""
    bill = Bill()
    for one in bills:
        for audit, column in ((False, one.control), (True, one.audit)):
            for price, quantity in column.items():
                bill.add(audit, price, quantity / len(bills))
    return bill


def bench_units():
    """Units of a run as `oz-bench units` has them from a table that accounts for them, and its words for it."""
    bench = os.path.join(os.path.dirname(os.environ["OZ"]), "oz-bench")
    if not os.path.exists(bench):
        return None
    told = subprocess.run([bench, "units", "--queued", "1"], capture_output=True, text=True, check=True).stdout
    cells = re.search(r"in all\S*((?:\s*\|?\s*[\d.]+){4})", told).group(1)
    requests, read, write, objects = (float(number) for number in re.findall(r"[\d.]+", cells))
    return read, write


def idle(sweep):
    """A month in which nothing happens, by item."""
    minutes = 60 * MONTH_HOURS
    found = template()
    mappings = len(re.findall(r"Type: AWS::Lambda::EventSourceMapping", found))
    # Five pollers each, which wait 20 s for a message.
    polls = mappings * 5 * 3 * minutes
    secrets, alarms = (len(re.findall(f"Type: {kind}\n", found)) for kind in ("AWS::SecretsManager::Secret", "AWS::CloudWatch::Alarm"))
    lines = [(f"{secrets} secrets", cost_of("secret", secrets)), (f"{alarms} alarms", cost_of("alarm", alarms))]
    lines.append((f"SQS: {mappings} mappings, 5 pollers each, that ask every 20 s", cost_of("sqs", polls)))
    lines.append((f"Scheduler: a sweep each minute ({minutes:,})", cost_of("schedule", minutes)))
    bill = sweep.control + sweep.audit
    named = {"invocation": "Lambda: sweep, requests", "gb_second": "Lambda: sweep, GB-seconds", "read": "DynamoDB: sweep, read units", "write": "DynamoDB: sweep, write units", "logs": "CloudWatch Logs: sweep"}
    for price, quantity in bill.items():
        if quantity:
            lines.append((named.get(price, f"sweep: {PRICES[price][2]}"), cost_of(price, quantity * minutes)))
    return sorted(lines, key=lambda line: -line[1])


def hour(architecture, plan):
    processors, memory = PLANS[plan]
    return processors * PRICES[f"{architecture}_cpu"][0] + memory * PRICES[f"{architecture}_memory"][0]


# ---- The page ----


def table(head, rows, left=1):
    out = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * left + ["---:"] * (len(head) - left)) + " |"]
    return out + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def number(quantity):
    return f"{quantity:,.0f}" if quantity >= 100 or quantity == int(quantity) else f"{quantity:,.3g}"


def aim(value, most, shown="${:g}"):
    return f"aim {shown.format(most)}: {'met' if value <= most else '**missed**'}"


def per_run_rows(bill):
    prices = sorted(set(bill.control) | set(bill.audit), key=lambda price: -cost_of(price, bill.control[price] + bill.audit[price]))
    rows = []
    for price in prices:
        cells = [PRICES[price][2]]
        for column in (bill.control, bill.audit):
            quantity = column[price]
            shown = f"{quantity * 1e3:.3g} × 10⁻³" if 0 < quantity < 0.01 else number(quantity)
            if price in ("logs", "rows", "objects"):
                shown = f"{quantity * 1e6:,.1f} KB"
            cells += [shown if quantity else "", f"${cost_of(price, quantity) * MILLION:,.2f}" if quantity else ""]
        rows.append(cells)
    return rows


def function_rows(seen, memory):
    """Requests, processor and time of each function and stage, per run."""
    groups = collections.defaultdict(list)
    for run in seen:
        for stage, name, invocation in run:
            groups[name, "segments" if stage == "segments" else ""].append(invocation)
    rows = []
    for (name, stage), invocations in groups.items():
        calls = collections.Counter(exchange.call for done in invocations for exchange, *_ in done.exchanges)
        told = ", ".join(f"{number(times / len(seen))} {call}" for call, times in sorted(calls.items()))
        waited = sum(ms for done in invocations for *_, ms in waits(done)) / len(invocations)
        own = statistics.mean(done.processor for done in invocations) * 1e3
        billed = own * max(1, MEMORY_OF_A_CPU / memory[name]) + waited
        rows.append([
            f"{name} ({stage})" if stage else name, number(len(invocations) / len(seen)), told, f"{memory[name]} MB", f"{own:.2f} ms",
            f"{statistics.mean(done.seconds for done in invocations) * 1e3:.0f} ms", f"{billed:.0f} ms",
        ])
    return rows


def page(bills, seen, sweeps, memory, bench):
    bill, sweep = mean(bills), mean([bill for bill, _ in sweeps])
    control, audit = bill.cost(bill.control), bill.cost(bill.audit)
    compute = hour("arm", "free") * SECONDS / 3600 * MILLION
    share = (control + audit) / compute
    month = idle(sweep)
    # Sums of halves, but for the mean's last digits.
    units = {kind: round(bill.control[kind] + bill.audit[kind], 2) for kind in ("read", "write")}
    gb_seconds = bill.control["gb_second"] + bill.audit["gb_second"]
    waiting = sum(ms / 1000 * memory[name] / 1024 for run in seen for _, name, done in run for *_, ms in waits(done)) / len(seen)
    release = os.environ.get("OZ_BUILD", "debug")
    out = [
        "# What it costs", "",
        f"Written by `tests/deployed/costs` on {datetime.date.today():%-d %B %Y} at commit {commit()} ({platform.machine()}, {release} build of the functions); do not edit.",
        "US dollars, us-east-1, without free tiers. Counted on the emulator, priced from the list at the end.", "",
        f"## A million runs of {SECONDS // 60} minutes", "",
        f"Control plane per million runs: ${control:,.2f}", "",
        f"With audit stream: ${control + audit:,.2f}", "",
        f"Control plane, {aim(control, AIMS['control'])}. With the audit stream, {aim(control + audit, AIMS['all'])}. Agents of the smallest plan on",
        f"ARM take ${compute:,.0f} meanwhile; the rest is {share:.2%} of it, {aim(share, AIMS['share'], '{:.0%}')}.", "",
        "The control plane is what it takes to accept a run, start its container, know what becomes of it and publish its outcome.",
        f"The audit stream is the {len(flushes(SECONDS))} segments that an agent sends which nobody watches, and the archive's requests when the",
        "trail is sealed. Rows and objects are charged for their first month.", "",
        *table(["", "control plane, a run", "a million", "audit stream, a run", "a million"], per_run_rows(bill) + [["**in all**", "", f"**${control:,.2f}**", "", f"**${audit:,.2f}**"]]),
        "## What would bring it down", "",
        *table(["", "control plane", "audit stream"], [[what, *[f"−${saved:,.2f}" if saved >= 0.005 else "" for saved in both]] for what, *both in savings(bill, seen, memory)]),
        "## What a run asks for", "",
        "Requests as they passed the gate of each function, per run. Processor and time are measured with every function warm; billed",
        f"is the processor's time at the function's share of a vCPU (memory / {MEMORY_OF_A_CPU} MB), and for each request the time that AWS is",
        "assumed to take; requests that are under way together share it.", "",
        *table(["function", "invocations", "requests", "memory", "own processor", "here", "billed"], function_rows(seen, memory), left=3),
        f"The lease is renewed by time alone: {renewals()} segment of {SECONDS // 60} minutes writes it, one unit, added to the above. Secrets are read",
        "when a process starts, not when a run does. Each message of a queue is received and deleted by its mapping, one by one here;",
        "under load ten at a time.", "",
        f"**Units of the table.** {units['write']:g} write and {units['read']:g} read units a run ({aim(units['write'], AIMS['units'], '{:g}')}), worked out from the requests and the",
        "sizes of the rows by DynamoDB's rules.",
    ]
    if bench:
        read, write = bench
        out.append(
            f"`oz-bench units`, which has them from a table that accounts for them, says {write:g} and {read:g} for a run accepted by the API\n"
            "with a key: the webhook's delivery takes the place of the key, and here the container's stop event and the automation are read too."
        )
    out += [
        "",
        f"**Assumed answers.** {waiting / gb_seconds:.0%} of the GB-seconds is waiting for AWS. Were every answer to take twice as long, a million runs would cost",
        f"${cost_of('gb_second', waiting) * MILLION:,.2f} more; on x86-64 they cost ${(cost_of('gb_second_x86', gb_seconds) - cost_of('gb_second', gb_seconds)) * MILLION:,.2f} more. In milliseconds:",
        ", ".join(f"{name} {ms}" for name, ms in ANSWERS_MS.items()) + ".", "",
        "## An agent-hour", "",
        *table(["plan", "size", "x86-64", "ARM", "10 minutes, x86-64", "10 minutes, ARM"], [
            [f"`{plan}`", f"{cpu} vCPU, {memory_gb} GiB", *[f"${hour(kind, plan):.4f}" for kind in ("x86", "arm")], *[f"${hour(kind, plan) / 6:.4f}" for kind in ("x86", "arm")]]
            for plan, (cpu, memory_gb) in PLANS.items()
        ], left=2),
        f"An agent with a public address pays ${PRICES['address'][0]} an hour for it; one behind a NAT gateway pays the gateway instead. Fargate bills",
        "from the pull of the image on.", "",
        "## A month of idleness", "",
        *table(["", "a month"], [[what, f"${cost:.2f}"] for what, cost in month] + [["**in all**", f"**${sum(cost for _, cost in month):.2f}**"]]),
        f"{aim(sum(cost for _, cost in month), AIMS['idle']).capitalize()}. A sweep with nothing to do makes {number(statistics.mean(len(done.exchanges) for _, done in sweeps))} requests:",
        ", ".join(f"{number(times / len(sweeps))} {call}" for call, times in sorted(collections.Counter(exchange.call for _, done in sweeps for exchange, *_ in done.exchanges).items())) + ".",
        "The images in ECR, the zips in S3 and the log of the sweep's month are cents.", "",
        f"Where runs are started in every hour of the month, their {len(metrics(seen))} metrics cost ${cost_of('metric', len(metrics(seen))):.2f} more, by the hour in which",
        f"they are written, however many runs there are: {', '.join(metrics(seen))}.", "",
        "## What grows with what", "",
        f"- With runs: everything of the first table. Half the runs, half the cost. {number(bill.control['invocation'])} invocations each, and {number(bill.audit['invocation'])} for segments.",
        f"- With the length of a run: a segment each minute, ${minute(bill, seen, memory):.2f} for a million of them; and the agent-hour, which is all but nothing else.",
        "- With readers: a transcript that somebody watches has a segment every two seconds while it is watched.",
        "- With output: 256 KiB of output are a segment of their own; beyond the first MiB of a command a PUT for each MiB, 64 at most.",
        "- With the queue, and with history: nothing. Units and requests are the same with 10,000 runs waiting (docs/benchmarks.md).",
        f"- With time: {bill.audit['objects'] * 1e6:,.1f} KB of objects and {bill.control['rows'] * 1e6:,.1f} KB of rows a run, as long as they are kept.",
        "- With teams and automations: nothing but their rows.", "",
        "## Prices", "",
        *table(["", "price", "source"], [[what, f"${price:g}" + {1e3: " a thousand", 1e4: " ten thousand", 1e6: " a million"}.get(per, ""), source] for price, per, what, source in PRICES.values()], left=1),
    ]
    return "\n".join(out).rstrip() + "\n", control, control + audit, sum(cost for _, cost in month)


def metrics(seen):
    """Names of the measurements in the functions' logs, each of which CloudWatch charges for."""
    lines = [json.loads(line) for run in seen for *_, done in run for line in done.log if line.startswith(b"{")]
    return sorted({metric["Name"] for line in lines if "_aws" in line for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]})


def savings(bill, seen, memory):
    """What a million runs would save by single changes: control plane, audit stream; the largest first."""

    def waiting(audit, least):
        """Of waiting for AWS, were functions given `least` MB."""
        found = 0
        for stage, name, done in (each for run in seen for each in run):
            for call, *_, ms in waits(done):
                if audit == (stage == "segments" or call.startswith("S3.")):
                    found += ms / 1000 * max(0, memory[name] - least) / 1024
        return cost_of("gb_second", found / len(seen)) * MILLION

    http = [column["gateway"] for column in (bill.control, bill.audit)]
    invoked = [column["invocation"] for column in (bill.control, bill.audit)]
    line = access_line_bytes() / 1e9
    heads = sum(exchange.call.startswith("S3.HEAD") for run in seen for _, _, done in run for exchange, *_ in done.exchanges) / len(seen)
    found = [
        (f"Functions with {least} MB at most: waiting costs by memory (their own processor's time costs the same)", waiting(False, least), waiting(True, least))
        for least in (256, 128)
    ]
    found += [
        ("Lambda's own log lines from WARN on (`SystemLogLevel`)", *[cost_of("logs", times * system_bytes() / 1e9) * MILLION for times in invoked]),
        ("No access log of the API", *[cost_of("logs", times * line) * MILLION for times in http]),
        ("All reads eventual", *[cost_of("read", column["read"] / 2) * MILLION for column in (bill.control, bill.audit)]),
        ("Messages received and deleted ten at a time, as under load", cost_of("sqs", (bill.control["sqs"] * 2 / 3) * 0.9) * MILLION, 0),
        ("No `HEAD` of each segment when sealing", 0, cost_of("s3_get", heads) * MILLION),
        ("A segment every two minutes after the first minute", 0, minute(bill, seen, memory) * sum(at > 75 for at in flushes(SECONDS)) / 2),
    ]
    return sorted((each for each in found if each[1] + each[2] >= 0.005), key=lambda each: -each[1] - each[2])


def minute(bill, seen, memory):
    """What a million segments cost, one for each run."""
    one = Bill()
    segments = [(name, done) for run in seen for stage, name, done in run if stage == "segments"]
    for name, done in segments:
        charge(one, name, "segments", done, memory[name])
    return one.cost(one.audit) / len(segments)


def commit():
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main():
    text, control, everything, month = page(*measure(), bench_units())
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "docs/costs.md")
    with open(path, "w") as file:
        file.write(text)
    print(f"control plane ${control:.2f}, with audit stream ${everything:.2f}, idle ${month:.2f}: {path}")


if __name__ == "__main__":
    main()
