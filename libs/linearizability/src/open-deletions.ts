import type { HistoryOperation, WriteOperation } from './history.js';

/** A stretch of revisions in which some deletion of the key must have taken effect: in (after, through]. */
export interface AbsenceGap {
  readonly key: string;
  readonly put: WriteOperation;
  readonly putRevision: number;
  /** Who saw the absence. */
  readonly absence: HistoryOperation;
  readonly after: number;
  readonly through: number;
}

/** A deletion that was never answered. If it took effect, then at a revision above `after`. */
export interface OpenDeletion {
  readonly operation: WriteOperation;
  readonly after: number;
}

interface Placement {
  readonly gap: AbsenceGap;
  /** The first revision it may take. */
  readonly from: number;
}

/**
 * Gives each gap an open deletion and a free revision of its own. Returns the first gap that cannot be served, or
 * null. The gaps of one key do not overlap, so a deletion without a condition that may serve a gap may serve every later one of the
 * key: the one with the lowest bound is given first. One that names the revision of the put serves that gap or none, so
 * it goes before them. Revisions are then handed out earliest deadline first, which is optimal for jobs of equal length.
 */
export function placeOpenDeletions(
  gaps: readonly AbsenceGap[],
  deletions: readonly OpenDeletion[],
  takenRevisions: Pick<ReadonlyMap<number, unknown>, 'has'>,
): AbsenceGap | null {
  const leftByKey = new Map<string, OpenDeletion[]>();
  for (const deletion of [...deletions].sort((one, other) => one.after - other.after)) {
    const left = leftByKey.get(deletion.operation.key);
    if (left === undefined) leftByKey.set(deletion.operation.key, [deletion]);
    else left.push(deletion);
  }
  const placements: Placement[] = [];
  for (const gap of [...gaps].sort((one, other) => one.through - other.through)) {
    const left = leftByKey.get(gap.key) ?? [];
    const first = (replaced: number | undefined): number =>
      left.findIndex(({ operation, after }) => after < gap.through && operation.replaced === replaced);
    const named = first(gap.putRevision);
    const index = named === -1 ? first(undefined) : named;
    const deletion = left[index];
    if (deletion === undefined) return gap;
    left.splice(index, 1);
    placements.push({ gap, from: Math.max(gap.after, deletion.after) + 1 });
  }
  return handOutRevisions(placements, takenRevisions);
}

function handOutRevisions(
  placements: Placement[],
  takenRevisions: Pick<ReadonlyMap<number, unknown>, 'has'>,
): AbsenceGap | null {
  const waiting = placements.sort((one, other) => one.from - other.from);
  const ready: Placement[] = [];
  let revision = 0;
  let next = 0;
  while (next < waiting.length || ready.length > 0) {
    const upcoming = waiting[next];
    if (ready.length === 0 && upcoming !== undefined) revision = Math.max(revision, upcoming.from);
    for (let other = waiting[next]; other !== undefined && other.from <= revision; other = waiting[next]) {
      ready.push(other);
      next += 1;
    }
    ready.sort((one, other) => one.gap.through - other.gap.through);
    const urgent = ready[0];
    if (urgent !== undefined && urgent.gap.through < revision) return urgent.gap;
    if (!takenRevisions.has(revision)) ready.shift();
    revision += 1;
  }
  return null;
}
