import { failure, type LinkRole, type StoreRequest, type StoreResponse } from '@quorate/api';
import type { Connection, LostResponse } from '@quorate/client';
import type { Cluster } from './cluster.js';
import type { Host } from './host.js';

const LOOK_MS = 100;

/** A link as the SDK's core sees it, over the simulated network. It notices late that the other end is gone, like the real one. */
export class SimulatedConnection implements Connection {
  readonly member: number;
  /** It is open from the start. */
  readonly tried = true;
  readonly #cluster: Cluster;
  readonly #host: Host;
  readonly #role: LinkRole;
  readonly #listeners = new Set<() => void>();
  readonly #abandon = new Set<() => void>();
  #open = true;
  #changedMs: number;

  constructor(cluster: Cluster, host: Host, role: LinkRole, member: number) {
    this.#cluster = cluster;
    this.#host = host;
    this.#role = role;
    this.member = member;
    this.#changedMs = host.monotonicMs();
    this.#look();
  }

  get open(): boolean {
    return this.#open;
  }
  get sinceMs(): number {
    return this.#host.monotonicMs() - this.#changedMs;
  }

  onOpenChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  request(
    request: StoreRequest,
    deadlineMs: number,
    callback: (response: StoreResponse | LostResponse) => void,
  ): void {
    if (!this.#open) {
      this.#host.post(0, () => callback(failure('STORE_UNREACHABLE')));
      return;
    }
    let answered = false;
    const answer = (response: StoreResponse | LostResponse): void => {
      if (answered) return;
      answered = true;
      this.#abandon.delete(lose);
      callback(response);
    };
    const lose = (): void => answer({ type: 'lost' });
    this.#abandon.add(lose);
    this.#cluster.request(this.#host, this.member, this.#role, request, deadlineMs, answer, () => lose());
  }

  /** Heartbeats, in effect: now and then the true state becomes known. */
  #look(): void {
    this.#host.setTimer(LOOK_MS * this.#host.random.between(0.5, 1.5), () => {
      const open = this.#cluster.isLinked(this.#host, this.member);
      if (open !== this.#open) {
        this.#open = open;
        this.#changedMs = this.#host.monotonicMs();
        if (!open) for (const lose of [...this.#abandon]) lose();
        for (const listener of [...this.#listeners]) listener();
      }
      this.#look();
    });
  }
}
