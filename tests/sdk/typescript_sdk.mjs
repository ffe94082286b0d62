// The official TypeScript SDK against a running control plane: OZ_API_BASE_URL and WARP_API_KEY say which, and
// OZ_SDK_FOLDER where the package is installed. The release on npm posts to /agent/run and does not follow cursors.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.OZ_SDK_FOLDER}/package.json`);
const sdk = require('oz-agent-sdk');
const { VERSION } = require('oz-agent-sdk/version');
const client = new sdk.OzAPI();

const shell = { harness: { type: 'shell' } };
const terminal = ['SUCCEEDED', 'FAILED', 'ERROR', 'BLOCKED', 'CANCELLED'];
let passed = 0;
let failed = 0;

async function check(name, test) {
  try {
    await test();
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n`, error);
  }
}

async function raises(kind, status, call) {
  const error = await call().then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert.equal(error.constructor, kind, String(error));
  assert.equal(error.status, status);
  for (const member of ['type', 'title', 'status', 'error', 'instance', 'retryable', 'trace_id']) {
    assert.ok(member in error.error, `${member} is missing in ${JSON.stringify(error.error)}`);
  }
  assert.equal(error.headers.get('content-type'), 'application/problem+json');
  return error;
}

async function end(runId) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const run = await client.agent.runs.retrieve(runId);
    if (terminal.includes(run.state)) return run;
    assert.ok(Date.now() < deadline, `${runId} is still ${run.state}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

await check('a run is created, retrieved, and ends', async () => {
  const prompt = 'echo "hello from $OZ_RUN_ID"';
  const created = await client.agent.run({ prompt, config: shell, title: 'A title', team: true });
  assert.equal(created.run_id, created.task_id);
  assert.equal(created.state, 'QUEUED');
  const run = await end(created.run_id);
  assert.deepEqual([run.state, run.title, run.source], ['SUCCEEDED', 'A title', 'API']);
  assert.match(run.status_message.message, new RegExp(`hello from ${created.run_id}`));
  assert.ok(Date.parse(run.started_at) >= Date.parse(run.created_at));
});

await check('a list goes on over pages', async () => {
  const name = `pages-${randomUUID()}`;
  const made = [];
  for (let n = 0; n < 5; n += 1) {
    made.push((await client.agent.run({ prompt: 'true', config: { ...shell, name } })).run_id);
  }
  const listed = [];
  let cursor;
  do {
    const query = { name, limit: 2, sort_by: 'created_at', sort_order: 'asc', ...(cursor && { cursor }) };
    const page = await client.agent.runs.list(query);
    assert.ok(page.runs.length > 0);
    listed.push(...page.runs.map((run) => run.run_id));
    assert.equal(page.page_info.has_next_page, page.page_info.next_cursor !== undefined);
    cursor = page.page_info.next_cursor;
  } while (cursor);
  assert.deepEqual(listed, made);
});

await check('filters arrive', async () => {
  const name = `filters ${randomUUID()}`;
  const { run_id } = await client.agent.run({ prompt: 'true # needle', config: { ...shell, name } });
  const finds = async (count, query) => {
    const { runs } = await client.agent.runs.list({ name, ...query });
    assert.deepEqual(runs.map((run) => run.run_id), Array(count).fill(run_id), JSON.stringify(query));
  };
  await finds(1, {});
  await finds(1, { q: 'NEEDLE true', source: 'API', environment_id: 'empty-environment' });
  await finds(1, { state: ['QUEUED', 'PENDING', 'CLAIMED', 'INPROGRESS', 'SUCCEEDED'] });
  await finds(0, { state: ['ERROR', 'BLOCKED'] });
  await finds(1, { created_after: '2020-01-01T00:00:00Z', created_before: '2100-01-01T01:00:00+01:00' });
  await finds(0, { updated_after: '2100-01-01T00:00:00.000Z' });
});

await check('cancel answers with the bare id, and once', async () => {
  const { run_id } = await client.agent.run({ prompt: 'sleep 60', config: shell });
  assert.equal(await client.agent.runs.cancel(run_id), run_id);
  assert.equal((await client.agent.runs.retrieve(run_id)).state, 'CANCELLED');
  await raises(sdk.BadRequestError, 400, () => client.agent.runs.cancel(run_id));
});

await check('environments are listed', async () => {
  const name = `sdk-${randomUUID()}`;
  const { uid } = await client.post('/agent/environments', { body: { name } });
  const { environments } = await client.get('/agent/environments', { query: { sort_by: 'name' } });
  assert.ok(environments.some((environment) => environment.uid === uid && environment.config.name === name));
});

await check('errors have their classes', async () => {
  const unknown = '01900000-0000-7000-8000-000000000000';
  await raises(sdk.NotFoundError, 404, () => client.agent.runs.retrieve(unknown));
  await raises(sdk.NotFoundError, 404, () => client.get('/agent/nowhere'));
  const error = await raises(sdk.BadRequestError, 400, () => client.agent.run({ config: shell }));
  assert.match(error.error.detail, /prompt/);
  await raises(sdk.BadRequestError, 400, () => client.agent.runs.list({ limit: 501 }));
  await raises(sdk.UnprocessableEntityError, 422, () => client.agent.run({ prompt: 'x', skill: 'a/b:c' }));
  await raises(sdk.AuthenticationError, 401, () => new sdk.OzAPI({ apiKey: 'wk-1' }).agent.runs.list());
});

console.log(`oz-agent-sdk ${VERSION} for TypeScript, ${process.env.OZ_API_BASE_URL}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
