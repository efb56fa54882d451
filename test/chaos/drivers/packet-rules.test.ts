import { describe, expect, it } from 'vitest';
import type { LinkFault, Part } from '../fault.js';
import { packetRulesOf, type ActiveLink } from './packet-rules.js';

const ADDRESSES = new Map<Part, string>([
  ['store1', '10.0.0.1'],
  ['store2', '10.0.0.2'],
  ['store3', '10.0.0.3'],
  ['gateway1', '10.0.0.4'],
]);

function active(...faults: LinkFault[]): ActiveLink[] {
  return faults.map((fault, at) => ({ number: at + 1, fault, isCutNow: true }));
}
function rules(part: Part, links: readonly ActiveLink[]) {
  return packetRulesOf(part, links, ADDRESSES, 'eth7');
}
function lines(part: Part, links: readonly ActiveLink[]): string[] {
  return rules(part, links)
    .filter.split('\n')
    .filter((line) => line.startsWith('-A'));
}

describe('the rules of a network namespace', () => {
  it('without a fault the whole table is emptied', () => {
    expect(rules('store1', [])).toEqual({
      filter: '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n',
      shaping: '',
      queues: [],
    });
  });

  it('a cut is made at both ends, and nobody else notices', () => {
    const links = active({ kind: 'cut', from: ['store1'], to: ['store2', 'store3'] });
    expect(lines('store1', links)).toEqual(['-A INPUT -s 10.0.0.2 -j DROP', '-A INPUT -s 10.0.0.3 -j DROP']);
    expect(lines('store2', links)).toEqual(['-A INPUT -s 10.0.0.1 -j DROP']);
    expect(lines('gateway1', links)).toEqual([]);
  });

  it('a part that stands on both sides is not cut from itself', () => {
    const links = active({ kind: 'cut', from: ['store1', 'store2'], to: ['store2', 'store1'] });
    expect(lines('store1', links)).toEqual(['-A INPUT -s 10.0.0.2 -j DROP']);
  });

  it('one way: only who no longer hears drops', () => {
    const links = active({ kind: 'cutOneWay', from: ['store1'], to: ['store2'] });
    expect(lines('store1', links)).toEqual([]);
    expect(lines('store2', links)).toEqual(['-A INPUT -s 10.0.0.1 -j DROP']);
  });

  it('a flapping link is cut in its turns', () => {
    const fault: LinkFault = { kind: 'flap', from: ['store1'], to: ['store2'], cutMs: 1, healedMs: 1 };
    expect(lines('store1', [{ number: 1, fault, isCutNow: true }])).toHaveLength(1);
    expect(lines('store1', [{ number: 1, fault, isCutNow: false }])).toEqual([]);
  });

  it('cuts come before losses, losses before delays, and each delay has its queue', () => {
    const links = active(
      { kind: 'delay', from: ['store1'], to: ['store2'], ms: 80, jitterMs: 20 },
      { kind: 'loss', from: ['store1'], to: ['store2'], percent: 15 },
      { kind: 'cut', from: ['store1'], to: ['store3'] },
    );
    expect(lines('store1', links)).toEqual([
      '-A INPUT -s 10.0.0.3 -j DROP',
      '-A INPUT -s 10.0.0.2 -m statistic --mode random --probability 0.1500 -j DROP',
      '-A OUTPUT -d 10.0.0.2 -j NFQUEUE --queue-num 1 --queue-bypass',
    ]);
    expect(rules('store1', links).queues).toEqual([{ number: 1, ms: 80, jitterMs: 20 }]);
    expect(rules('store3', links).queues).toEqual([]);
  });

  it('two slow links of one part have a class each', () => {
    const links = active({
      kind: 'slowLink',
      from: ['store1'],
      to: ['store2', 'store3'],
      bytesPerSecond: 64_000,
    });
    const { shaping } = rules('store1', links);
    expect(shaping.split('\n').map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      'qdisc add',
      ...['class add', 'qdisc add', 'filter add'],
      ...['class add', 'qdisc add', 'filter add'],
      '',
    ]);
    expect(shaping).toContain('parent 1:10 handle 10: tbf rate 64000bps burst 6400 latency 2000ms');
    expect(shaping).toContain('match ip dst 10.0.0.3/32 flowid 1:11');
    expect(rules('gateway1', links).shaping).toBe('');
  });

  it('a part without an address is refused', () => {
    const links = active({ kind: 'cut', from: ['store9'], to: ['store1'] });
    expect(() => rules('store1', links)).toThrow('no address is known of store9');
  });
});
