import type { LinkFault, Part } from '../fault.js';

export interface ActiveLink {
  /** Its own, 1 to 65,535, for as long as it is in force: it names the queue of a delay. */
  readonly number: number;
  readonly fault: LinkFault;
  /** Of a flapping link: whether it is cut at this moment. */
  readonly isCutNow: boolean;
}

/** Packets that wait for `ms` plus or minus `jitterMs` in the queue of this number. */
export interface DelayQueue {
  readonly number: number;
  readonly ms: number;
  readonly jitterMs: number;
}

/** All that is to be in force in one network namespace: the whole of it, so that it can be set at once and anew. */
export interface PacketRules {
  /** For `iptables-restore`: the whole table `filter`. */
  readonly filter: string;
  /** For `tc -batch`, on an interface without a queueing discipline of its own; empty: nothing is shaped. */
  readonly shaping: string;
  readonly queues: readonly DelayQueue[];
}

/** A packet that is larger than this many bytes does not exist, as long as the discipline may split what is sent in one piece. */
const BURST_BYTES_MIN = 5_000;
const SHAPING_QUEUE_MS = 2_000;

/**
 * What the namespace of `part` must do so that all these faults are in force. A packet that is to be lost is dropped where it arrives, and nobody
 * is told; a cut is made at both ends, so that it holds while one of them starts again in a namespace that knows nothing of it. What is slow
 * is slow where it is sent. Only packets between parts match: whatever clients send passes.
 */
export function packetRulesOf(
  part: Part,
  links: readonly ActiveLink[],
  addresses: ReadonlyMap<Part, string>,
  interfaceName: string,
): PacketRules {
  const dropped: string[] = [];
  const lossy: string[] = [];
  const delayed: string[] = [];
  const queues: DelayQueue[] = [];
  const shaped: string[] = [];
  for (const { number, fault, isCutNow } of links) {
    const heard = othersOf(part, fault, fault.kind === 'cutOneWay').map((other) =>
      addressOf(other, addresses),
    );
    switch (fault.kind) {
      case 'cut':
      case 'cutOneWay':
      case 'flap':
        if (isCutNow) dropped.push(...heard.map((address) => `-A INPUT -s ${address} -j DROP`));
        break;
      case 'loss': {
        const probability = Math.min(1, Math.max(0, fault.percent / 100)).toFixed(4);
        for (const address of heard)
          lossy.push(
            `-A INPUT -s ${address} -m statistic --mode random --probability ${probability} -j DROP`,
          );
        break;
      }
      case 'delay':
        for (const address of heard)
          // Without its program, a queue lets everything pass.
          delayed.push(`-A OUTPUT -d ${address} -j NFQUEUE --queue-num ${number} --queue-bypass`);
        if (heard.length > 0) queues.push({ number, ms: fault.ms, jitterMs: fault.jitterMs });
        break;
      case 'slowLink':
        for (const address of heard)
          shaped.push(...shapingOf(address, fault.bytesPerSecond, interfaceName, shaped.length));
        break;
    }
  }
  const policies = ['INPUT', 'FORWARD', 'OUTPUT'].map((chain) => `:${chain} ACCEPT [0:0]`);
  return {
    filter: ['*filter', ...policies, ...dropped, ...lossy, ...delayed, 'COMMIT', ''].join('\n'),
    shaping:
      shaped.length === 0
        ? ''
        : [`qdisc add dev ${interfaceName} root handle 1: htb default 0`, ...shaped, ''].join('\n'),
    queues,
  };
}

/** With whom `part` has the trouble; `inwardOnly`: only if it is the one who no longer hears. */
function othersOf(part: Part, fault: LinkFault, inwardOnly: boolean): readonly Part[] {
  const others = new Set<Part>();
  if (fault.to.includes(part)) for (const other of fault.from) others.add(other);
  if (!inwardOnly && fault.from.includes(part)) for (const other of fault.to) others.add(other);
  others.delete(part);
  return [...others];
}

/** A class per peer. Whatever has no class is not held back. The peer's class itself is wide: the bucket in it sets the pace, and splits large pieces. */
function shapingOf(
  address: string,
  bytesPerSecond: number,
  interfaceName: string,
  linesBefore: number,
): readonly string[] {
  const device = `dev ${interfaceName}`;
  const minor = (linesBefore / 3 + 16).toString(16);
  const burst = Math.max(BURST_BYTES_MIN, Math.ceil(bytesPerSecond / 10));
  const bucket = `tbf rate ${bytesPerSecond}bps burst ${burst} latency ${SHAPING_QUEUE_MS}ms`;
  return [
    `class add ${device} parent 1: classid 1:${minor} htb rate 10gbit quantum 60000`,
    `qdisc add ${device} parent 1:${minor} handle ${minor}: ${bucket}`,
    `filter add ${device} parent 1: protocol ip prio 1 u32 match ip dst ${address}/32 flowid 1:${minor}`,
  ];
}

function addressOf(part: Part, addresses: ReadonlyMap<Part, string>): string {
  const address = addresses.get(part);
  if (address === undefined) throw new Error(`no address is known of ${part}`);
  return address;
}
