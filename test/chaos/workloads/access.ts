import type { AccessQuestion, ChaosClient } from '../client.js';
import type { Operation, Violation } from '../operation.js';
import type { Workload } from '../workload.js';
import { UniqueNames, groupedBy, violated } from './naming.js';

const [PRINCIPAL, RESOURCE] = [
  { type: 'User', id: 'chaos' },
  { type: 'Document', id: 'chaos' },
];
/** Clients that grant and revoke, each its own right; the others only ask. */
const OWNERS = 2;
const CLIENTS = 5;
const POLICY = 'policies/chaos-';
const ACTION = 'read-';

/** A right of one owner. All that is done to its policy goes over exactly the revision before, so nothing that comes late can undo it. */
interface Right {
  readonly name: string;
  revision: number | null;
  isGranted: boolean;
}

/**
 * Rights that are granted and revoked, in the order of the new enemy: the revocation is acknowledged, THEN something is written that its reader
 * must not see. Whoever asks after that, through whatever gateway, is told no.
 */
export function access(run: string): Workload {
  const namespace = `chaos-access-${run}`;
  const names = new UniqueNames('access');
  const rights: Right[] = [];
  const renew = (owner: number): Right => {
    const name = `${names.next(owner).replaceAll('/', '-')}-${run}`;
    const right: Right = { name, revision: null, isGranted: false };
    rights[owner] = right;
    return right;
  };

  /** Leaves a right behind whose policy nobody knows for sure: whatever is done to it later could be undone by what is still on its way. */
  const change = async (client: ChaosClient, owner: number, right: Right): Promise<boolean> => {
    const { name, revision, isGranted } = right;
    const choice = { over: revision, idempotencyKey: names.next(owner) };
    const isDeletion = isGranted && client.random() < 0.5;
    const operation = isDeletion
      ? await client.deletePolicy(`chaos-${name}`, choice)
      : await client.putPolicy(`chaos-${name}`, policyText(name, isGranted ? 'forbid' : 'permit'), choice);
    if (operation.outcome === 'unknown' || operation.code === 'PRECONDITION_FAILED') renew(owner);
    if (operation.outcome !== 'done') return false;
    right.revision = isDeletion ? null : operation.revision;
    right.isGranted = !isGranted;
    return true;
  };

  const ask = (client: ChaosClient, { name }: Right, gateway?: number): Promise<Operation> =>
    client.check(questionOf(name), { gateway });

  return {
    name: 'access',
    clients: CLIENTS,
    async prepare(client) {
      await client.insist('a namespace', () => client.createNamespace(namespace, 'strict'));
      for (const { type, id } of [PRINCIPAL, RESOURCE]) {
        await client.insist('an entity', () => client.putEntity(type, id));
      }
    },
    async step(client, number) {
      if (number >= OWNERS) {
        const right = rights[Math.floor(client.random() * OWNERS)];
        if (right !== undefined) await ask(client, right);
        else await client.check(questionOf('nobody'));
        return;
      }
      const right = rights[number] ?? renew(number);
      if (!(await change(client, number, right))) return;
      if (right.isGranted) {
        await ask(client, right);
        return;
      }
      const secret = await client.put(namespace, `secret-${number}`, names.next(number));
      if (secret.outcome !== 'done') return;
      for (const gateway of client.gateways) await ask(client, right, gateway);
    },
    async finish(client) {
      for (const right of rights) {
        for (const gateway of client.gateways) await client.attempt(() => ask(client, right, gateway));
      }
    },
    judge: judgeAccess,
  };
}

function judgeAccess(history: readonly Operation[]): readonly Violation[] {
  const changes = groupedBy(
    history.filter(({ key }) => key.startsWith(POLICY)),
    ({ key }) => key.slice(POLICY.length),
  );
  const found: Violation[] = [];
  for (const [name, ofRight] of changes) {
    const refused = ofRight.find(({ code, outcome }) => code === 'PRECONDITION_FAILED' && outcome === 'none');
    const isKnown = ofRight.every(({ id, outcome }) => outcome !== 'unknown' || id > (refused?.id ?? 0));
    if (refused !== undefined && isKnown) {
      const because = `only one client changes ${name}, over what it was told, and was refused`;
      found.push(violated('compare and set', because, [refused]));
    }
  }
  const courses = new Map([...changes].map(([name, ofRight]) => [name, new Course(ofRight)]));
  for (const check of history) {
    if (check.action !== 'check' || check.outcome !== 'done') continue;
    const broken = judgeCheck(check, courses.get(check.key.slice(ACTION.length)) ?? NEVER_CHANGED);
    if (broken !== null) found.push(broken);
  }
  return found;
}

/** The changes of one right, in the order in which they were asked for: each only when the one before was known. */
class Course {
  readonly #changes: readonly Operation[];
  readonly #unknown: readonly Operation[];

  constructor(changes: readonly Operation[]) {
    this.#changes = changes.filter(({ outcome }) => outcome === 'done');
    this.#unknown = changes.filter(({ outcome }) => outcome === 'unknown');
  }

  /** The last change that was acknowledged before a check began; undefined: none. */
  knownAt({ invokedMs }: Operation): Operation | undefined {
    return this.#changes[this.#countBefore(invokedMs) - 1];
  }

  /** What may have been in force at some moment of a check, besides what was known: asked for before its end. */
  *possibleAt({ invokedMs, completedMs }: Operation): Generator<Operation> {
    const untilMs = completedMs ?? Infinity;
    for (let at = this.#countBefore(invokedMs); at < this.#changes.length; at += 1) {
      const change = this.#changes[at];
      if (change === undefined || change.invokedMs > untilMs) break;
      yield change;
    }
    yield* this.#unknown.filter((change) => change.invokedMs <= untilMs);
  }

  #countBefore(atMs: number): number {
    let [low, high] = [0, this.#changes.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle]?.completedMs ?? Infinity) < atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const NEVER_CHANGED = new Course([]);

function judgeCheck(check: Operation, course: Course): Violation | null {
  const { value, revision } = check;
  const known = course.knownAt(check);
  const isAsKnown = value === (known !== undefined && isGrant(known));
  if (!isAsKnown && ![...course.possibleAt(check)].some((change) => isGrant(change) === value)) {
    const promise = value === true ? 'revoked right' : 'granted right';
    const because =
      value === true
        ? 'a check began after a revocation was acknowledged, and was allowed'
        : 'a check began after a grant was acknowledged, and was denied';
    return violated(promise, because, [known, check]);
  }
  if (known !== undefined && (revision ?? 0) < (known.revision ?? 0)) {
    const because = 'a check was decided by older policies than had been acknowledged before it was asked';
    return violated('new policies', because, [known, check]);
  }
  return null;
}

function isGrant({ written }: Operation): boolean {
  return typeof written === 'string' && written.startsWith('permit');
}

function questionOf(name: string): AccessQuestion {
  return { principal: PRINCIPAL, action: `${ACTION}${name}`, resource: RESOURCE };
}

function policyText(name: string, effect: 'permit' | 'forbid'): string {
  const principal = `principal == ${PRINCIPAL.type}::"${PRINCIPAL.id}"`;
  const resource = `resource == ${RESOURCE.type}::"${RESOURCE.id}"`;
  return `${effect}(${principal}, action == Action::"${ACTION}${name}", ${resource});`;
}
