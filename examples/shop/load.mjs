// Loads the example shop through the REST API. Can be run again: what is there already stays as it is.
//   node examples/shop/load.mjs [--url http://127.0.0.1:8080] [--token-file .quorate/admin.token]
import { randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual, parseArgs } from 'node:util';

const ATTEMPTS_MAX = 8;
const REQUEST_TIMEOUT_MS = 10_000;
const here = new URL('./', import.meta.url);

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8080' },
    'token-file': { type: 'string', default: '.quorate/admin.token' },
  },
});

/** A failure whose message is for the user. */
class LoadError extends Error {}

async function readToken() {
  try {
    return (await readFile(options['token-file'], 'utf8')).trim();
  } catch (error) {
    throw new LoadError(
      `The token cannot be read from ${options['token-file']} (${error.code}). Use --token-file.`,
    );
  }
}

const readJson = async (name) => JSON.parse(await readFile(new URL(name, here), 'utf8'));

/** Slashes stay: a key is the rest of the path. */
const keyPath = (key) => key.split('/').map(encodeURIComponent).join('/');

/**
 * One request. "No quorum", "overloaded" and "outcome unknown" are tried again with the same Idempotency-Key, so that
 * a write that happened after all is not done twice. Answers {status, body}; 404 is an answer, other errors are thrown.
 */
async function request(token, method, path, body) {
  const headers = { Authorization: `Bearer ${token}`, 'Read-Consistency': 'linearizable' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method === 'PUT') headers['Idempotency-Key'] = randomUUID();
  const content = body === undefined ? undefined : JSON.stringify(body);
  for (let attempt = 1; ; attempt += 1) {
    let answer;
    try {
      const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
      answer = await fetch(new URL(path, options.url), { method, headers, body: content, signal });
    } catch (error) {
      throw new LoadError(
        `No answer from ${options.url} (${error.cause?.code ?? error.name}). Is the gateway up?`,
      );
    }
    const text = await answer.text();
    const json = text === '' ? null : parse(text, path);
    if (answer.ok || (method === 'GET' && json?.code === 'ENTRY_NOT_FOUND'))
      return { status: answer.status, body: json };
    const again = [503, 504].includes(answer.status) || json?.code === 'ACCESS_CHANGED';
    if (!again || attempt === ATTEMPTS_MAX) throw new LoadError(sentence(method, path, answer.status, json));
    if (json?.code === 'ACCESS_CHANGED') headers['Idempotency-Key'] = randomUUID();
    await pause(1000 * Math.min(Number(answer.headers.get('Retry-After')) || 0.3 * attempt, 5));
  }
}

function parse(text, path) {
  try {
    return JSON.parse(text);
  } catch {
    throw new LoadError(`${path}: the answer is not JSON. Is ${options.url} a Quorate gateway?`);
  }
}

function sentence(method, path, status, problem) {
  const what = problem?.detail ?? problem?.title ?? 'no problem document';
  return `${method} ${path}: ${status} ${problem?.code ?? ''}\n${what}\n${problem?.whatToDo ?? ''}`.trimEnd();
}

/** Puts a value unless it is there already. Returns what it did. */
async function ensure(token, path, value) {
  const { status, body } = await request(token, 'GET', path);
  if (status === 200 && isDeepStrictEqual(body.value, value)) return 'unchanged';
  const put = await request(token, 'PUT', path, value);
  return put.status === 201 ? 'created' : 'replaced';
}

async function ensureAll(token, name, items) {
  const counts = { created: 0, replaced: 0, unchanged: 0 };
  for (const [path, value] of items) counts[await ensure(token, path, value)] += 1;
  const { created, replaced, unchanged } = counts;
  console.log(`${name.padEnd(24)} ${created} created, ${replaced} replaced, ${unchanged} unchanged`);
}

async function load() {
  const token = await readToken();
  const namespaces = await readJson('namespaces.json');
  for (const [name, kind] of Object.entries(namespaces)) {
    await request(token, 'PUT', `/v1/namespaces/${name}`, { kind });
    const entries = Object.entries(await readJson(`entries/${name}.json`));
    const items = entries.map(([key, value]) => [`/v1/namespaces/${name}/entries/${keyPath(key)}`, value]);
    await ensureAll(token, `${name} (${kind})`, items);
  }
  const entities = (await readJson('entities.json')).map(({ type, id, attrs = {}, parents = [] }) => [
    `/v1/access/entities/${encodeURIComponent(type)}/${encodeURIComponent(id)}`,
    { attrs, parents },
  ]);
  await ensureAll(token, 'access: entities', entities);
  const policies = [];
  for (const file of (await readdir(new URL('policies/', here)))
    .filter((name) => name.endsWith('.cedar'))
    .sort()) {
    const text = await readFile(new URL(`policies/${file}`, here), 'utf8');
    policies.push([`/v1/access/policies/${file.slice(0, -'.cedar'.length)}`, text]);
  }
  await ensureAll(token, 'access: policies', policies);
}

try {
  await load();
} catch (error) {
  console.error(error instanceof LoadError ? error.message : error);
  process.exitCode = 1;
}
