/** A process of the cluster: members `store1`.., gateways `gateway1`.., and the message broker. */
export type Part = `store${number}` | `gateway${number}` | 'nats';

/**
 * What is done to a running cluster. Each is in force until it is ended. Cuts and links are between the parts of `from` and those of `to`;
 * whatever is not named goes on undisturbed. A scenario names faults and no driver; a driver says which of them it can do.
 */
export type Fault =
  /** Nothing passes in either direction. */
  | { readonly kind: 'cut'; readonly from: readonly Part[]; readonly to: readonly Part[] }
  /** What `from` sends to `to` is lost; the other direction goes on. */
  | { readonly kind: 'cutOneWay'; readonly from: readonly Part[]; readonly to: readonly Part[] }
  /** A cut that comes and goes. */
  | {
      readonly kind: 'flap';
      readonly from: readonly Part[];
      readonly to: readonly Part[];
      readonly cutMs: number;
      readonly healedMs: number;
    }
  | {
      readonly kind: 'loss';
      readonly from: readonly Part[];
      readonly to: readonly Part[];
      readonly percent: number;
    }
  | {
      readonly kind: 'delay';
      readonly from: readonly Part[];
      readonly to: readonly Part[];
      readonly ms: number;
      readonly jitterMs: number;
    }
  | {
      readonly kind: 'slowLink';
      readonly from: readonly Part[];
      readonly to: readonly Part[];
      readonly bytesPerSecond: number;
    }
  /** Stopped where they stand (SIGSTOP, or the engine's own freeze); ended: they go on, and do not know that time passed. */
  | { readonly kind: 'pause'; readonly parts: readonly Part[] }
  /** kill -9; ended: started again on the data that they have. */
  | { readonly kind: 'kill'; readonly parts: readonly Part[] }
  /** Asked to stop (SIGTERM), which must be orderly; ended: started again. */
  | { readonly kind: 'stop'; readonly parts: readonly Part[] }
  /** The wall clock jumps by so much and stays there; ended: it jumps back. */
  | { readonly kind: 'clock'; readonly parts: readonly Part[]; readonly offsetMs: number }
  | { readonly kind: 'diskFull'; readonly part: Part }
  | { readonly kind: 'diskReadOnly'; readonly part: Part }
  | { readonly kind: 'slowSync'; readonly part: Part; readonly ms: number }
  /** No write to the disk returns. */
  | { readonly kind: 'hungDisk'; readonly part: Part }
  /** The file system loses what was not synced, and the process is killed; ended: mounted and started again. */
  | { readonly kind: 'powerCut'; readonly part: Part }
  /** No more than so much memory; the kernel kills what wants more. Ended: no limit, and started again if it was killed. */
  | { readonly kind: 'memoryLimit'; readonly part: Part; readonly bytes: number };

export type FaultKind = Fault['kind'];

/** The faults of links, as opposed to those of parts. */
export type LinkFault = Extract<Fault, { readonly from: readonly Part[] }>;

export function isLinkFault(fault: Fault): fault is LinkFault {
  return 'from' in fault;
}

/** For a timeline and a log: one line in plain words. */
export function describeFault(fault: Fault): string {
  switch (fault.kind) {
    case 'cut':
      return `${list(fault.from)} cut from ${list(fault.to)}`;
    case 'cutOneWay':
      return `${list(fault.to)} no longer hear ${list(fault.from)}`;
    case 'flap':
      return `${list(fault.from)} to ${list(fault.to)}: cut for ${fault.cutMs} ms in every ${fault.cutMs + fault.healedMs} ms`;
    case 'loss':
      return `${list(fault.from)} to ${list(fault.to)}: ${fault.percent} % lost`;
    case 'delay':
      return `${list(fault.from)} to ${list(fault.to)}: ${fault.ms} ± ${fault.jitterMs} ms later`;
    case 'slowLink':
      return `${list(fault.from)} to ${list(fault.to)}: ${fault.bytesPerSecond} bytes/s`;
    case 'pause':
      return `${list(fault.parts)} paused`;
    case 'kill':
      return `kill -9 ${list(fault.parts)}`;
    case 'stop':
      return `${list(fault.parts)} stopped orderly`;
    case 'clock':
      return `wall clock of ${list(fault.parts)} ${fault.offsetMs > 0 ? '+' : ''}${fault.offsetMs} ms`;
    case 'diskFull':
      return `disk of ${fault.part} full`;
    case 'diskReadOnly':
      return `disk of ${fault.part} read-only`;
    case 'slowSync':
      return `each sync of ${fault.part} takes ${fault.ms} ms more`;
    case 'hungDisk':
      return `disk of ${fault.part} hangs`;
    case 'powerCut':
      return `power cut at ${fault.part}`;
    case 'memoryLimit':
      return `${fault.part} may use ${fault.bytes} bytes of memory`;
  }
}

function list(parts: readonly Part[]): string {
  return parts.join(', ');
}
