export interface Readiness {
  readonly ready: boolean;
  readonly quorum: boolean;
  /** The member that leads, as far as the answering process knows. */
  readonly leader: number | null;
}

/** Asks a member or a gateway for its readiness. Null: it does not answer. */
export async function readiness(host: string, port: number, timeoutMs = 1000): Promise<Readiness | null> {
  let body: unknown;
  let ready: boolean;
  try {
    const response = await fetch(`http://${host}:${port}/readyz`, { signal: AbortSignal.timeout(timeoutMs) });
    ready = response.status === 200;
    body = await response.json();
  } catch {
    return null;
  }
  const leader = findField(body, 'leader');
  return {
    ready,
    quorum: findField(body, 'quorum') === true,
    leader: typeof leader === 'number' ? leader : null,
  };
}

/** Health answers nest their facts per indicator: looks for the first field of this name, at most four levels down. */
function findField(value: unknown, name: string, depth = 4): unknown {
  if (typeof value !== 'object' || value === null || depth === 0) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    if (key === name) return inner;
    const found = findField(inner, name, depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}
