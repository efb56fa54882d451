import { revision } from '@quorate/kv';
import { describe, expect, it } from 'vitest';
import { LIMITS_MS } from './distribution.js';
import { Visibility } from './visibility.js';

function write(at: number, sentMs: number, acknowledgedMs: number) {
  return { revision: revision(at), sentMs, acknowledgedMs };
}

/** The share that was visible within `withinMs`. */
function shareWithin(
  visibility: Visibility,
  since: 'sinceAcknowledged' | 'sinceSent',
  withinMs: number,
  nowMs = 0,
) {
  const { points } = visibility.report(nowMs)[since];
  return points.find((point) => point.withinMs === withinMs)?.share;
}

describe('how long own writes take to be shown', () => {
  it('is measured from both ends between which the commit lies', () => {
    const measured: [number, number][] = [];
    const visibility = new Visibility((...spans) => measured.push(spans));
    visibility.advanced(revision(4), 1, 0);
    visibility.acknowledged(write(5, 10, 13));
    visibility.acknowledged(write(7, 11, 14));
    visibility.acknowledged(write(6, 12, 15));
    visibility.advanced(revision(6), 1, 20);
    visibility.advanced(revision(9), 1, 64);
    expect(measured).toEqual([
      [7, 10],
      [5, 8],
      [50, 53],
    ]);
    const report = visibility.report(100);
    expect(report).toMatchObject({ waiting: 0, waitingOldestMs: null, dropped: 0 });
    expect(report.sinceAcknowledged).toMatchObject({ count: 3, maxMs: 50 });
    expect(report.sinceSent).toMatchObject({ count: 3, maxMs: 53 });
    expect(report.sinceAcknowledged.p50Ms).toBeCloseTo(7, 1);
    expect(shareWithin(visibility, 'sinceAcknowledged', 5)).toBeCloseTo(1 / 3);
    expect(shareWithin(visibility, 'sinceAcknowledged', 10)).toBeCloseTo(2 / 3);
    expect(shareWithin(visibility, 'sinceSent', 5)).toBe(0);
    expect(shareWithin(visibility, 'sinceSent', 60_000)).toBe(1);
  });

  it('is nothing since the acknowledgement when the feed was faster, and at most the round trip since it was sent', () => {
    const visibility = new Visibility();
    visibility.advanced(revision(9), 1, 12);
    visibility.acknowledged(write(9, 10, 13));
    expect(visibility.report(20).sinceAcknowledged).toMatchObject({ count: 1, maxMs: 0 });
    expect(visibility.report(20).sinceSent).toMatchObject({ count: 1, maxMs: 3 });
    expect(shareWithin(visibility, 'sinceAcknowledged', 0)).toBe(1);
  });

  it('does not forget a write that is not shown: it is missing from every share that it is too old for', () => {
    const visibility = new Visibility();
    visibility.advanced(revision(5), 1, 0);
    visibility.acknowledged(write(5, 0, 1));
    visibility.acknowledged(write(6, 0, 1));
    expect(visibility.report(1501)).toMatchObject({ waiting: 1, waitingOldestMs: 1500 });
    expect(shareWithin(visibility, 'sinceAcknowledged', 1000, 1501)).toBe(0.5);
    expect(shareWithin(visibility, 'sinceAcknowledged', 2000, 1501)).toBe(1);
  });

  it('gives up what waits when the epoch changes: its revisions do not compare', () => {
    const visibility = new Visibility();
    visibility.advanced(revision(5), 1, 0);
    visibility.acknowledged(write(6, 0, 1));
    visibility.advanced(revision(100), 2, 10);
    expect(visibility.report(20)).toMatchObject({
      waiting: 0,
      dropped: 1,
      sinceSent: { count: 0, points: [] },
    });
  });

  it('remembers 10,000 and counts what it gives up', () => {
    const visibility = new Visibility();
    for (let at = 1; at <= 10_007; at += 1) visibility.acknowledged(write(at, 0, 1));
    expect(visibility.report(2)).toMatchObject({ waiting: 10_000, dropped: 7 });
    visibility.advanced(revision(10_007), 1, 3);
    expect(visibility.report(3)).toMatchObject({ waiting: 0, sinceSent: { count: 10_000 } });
    expect(visibility.report(3).sinceSent.points.map(({ withinMs }) => withinMs)).toEqual([...LIMITS_MS]);
  });
});
