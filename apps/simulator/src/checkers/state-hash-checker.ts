import type { StateMachine } from '@quorate/kv';
import type { World } from '../world.js';
import type { MemberView, RunningChecker } from './member-view.js';

/** Members that applied the same number of entries are in the same state, byte for byte, always. */
export class StateHashChecker implements RunningChecker {
  readonly #world: World;
  readonly #hashAt = new Map<number, { readonly hash: string; readonly member: number }>();
  readonly #seen = new Map<string, number>();
  compared = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** What was restored from a copy is what the members had at that index, and holds everything up to `minRevision`. */
  compare(machine: StateMachine, minRevision: number, what: string): void {
    const hash = machine.stateHash();
    const known = this.#hashAt.get(machine.appliedIndex);
    if (known !== undefined && known.hash !== hash) {
      this.#world.violation(
        'equal states',
        `${what} is state ${hash}, member ${known.member} had ${known.hash}`,
      );
    }
    if (machine.head >= minRevision) return;
    this.#world.violation(
      'a copy holds what was acknowledged before it',
      `${what} ends at revision ${machine.head}, ${minRevision} had been acknowledged`,
    );
  }

  observe(member: MemberView): void {
    const life = `${member.id}/${member.process}`;
    const { appliedIndex } = member.machine;
    if (this.#seen.get(life) === appliedIndex) return;
    this.#seen.set(life, appliedIndex);
    const hash = member.machine.stateHash();
    const known = this.#hashAt.get(appliedIndex);
    if (known === undefined) {
      this.#hashAt.set(appliedIndex, { hash, member: member.id });
      return;
    }
    this.compared += 1;
    if (known.hash !== hash) {
      this.#world.violation(
        'equal states',
        `after entry ${appliedIndex} member ${member.id} has state ${hash}, member ${known.member} had ${known.hash}`,
      );
    }
  }
}
