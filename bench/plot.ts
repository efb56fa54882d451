import { type Verdict, meets } from './goals.js';

const [ROW, TOP, LEFT, CHART, RIGHT] = [22, 56, 520, 520, 90];
const COLOURS = { aim: '#2e7d32', floor: '#9bbf3b', below: '#c0392b', none: '#7a7a7a' } as const;

/**
 * The verdicts as an SVG: a bar for each, how many times better ours is than the peer (without a peer: than the floor), on a logarithmic
 * scale, with a mark where the floor is and one where the aim is.
 */
export function plotOf(verdicts: readonly Verdict[], title: string): string {
  const bars = verdicts.filter(({ ratio }) => Number.isFinite(ratio) && ratio > 0).map(barOf);
  const gains = bars.flatMap(({ gain, floor, aim }) => [gain, floor ?? 1, aim]);
  const low = Math.min(0.5, ...gains) / 1.1;
  const high = Math.max(2, ...gains) * 1.1;
  const place = (gain: number): number =>
    LEFT + (CHART * (Math.log(gain) - Math.log(low))) / (Math.log(high) - Math.log(low));
  const height = TOP + bars.length * ROW + 34;
  const width = LEFT + CHART + RIGHT;
  const line = (x: number, y1: number, y2: number, style: string): string =>
    `<line x1="${x.toFixed(1)}" x2="${x.toFixed(1)}" y1="${y1}" y2="${y2}" ${style}/>`;
  const rows = bars.map((bar, index) => {
    const y = TOP + index * ROW;
    const [from, to] = [place(1), place(bar.gain)];
    const marks = [
      bar.floor === null ? '' : line(place(bar.floor), y - 1, y + 17, 'stroke="#333" stroke-width="2"'),
      line(place(bar.aim), y - 1, y + 17, 'stroke="#333" stroke-width="2" stroke-dasharray="3 2"'),
    ];
    return [
      `<text x="${LEFT - 8}" y="${y + 12}" text-anchor="end">${escaped(bar.label)}</text>`,
      `<rect x="${Math.min(from, to).toFixed(1)}" y="${y + 1}" width="${Math.max(1, Math.abs(to - from)).toFixed(1)}" height="14" fill="${bar.colour}"/>`,
      ...marks,
      `<text x="${LEFT + CHART + 6}" y="${y + 12}">${bar.gain.toPrecision(3)}x</text>`,
    ].join('');
  });
  const end = TOP + bars.length * ROW;
  const scale = [0.01, 0.1, 0.25, 0.5, 1, 2, 4, 10, 25, 100, 1_000]
    .filter((gain) => gain >= low && gain <= high)
    .map(
      (gain) =>
        line(place(gain), TOP - 6, end, `stroke="${gain === 1 ? '#555' : '#ddd'}"`) +
        `<text x="${place(gain).toFixed(1)}" y="${end + 14}" text-anchor="middle">${gain}x</text>`,
    );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="20" font-size="14">${escaped(title)}</text>`,
    `<text x="12" y="38">Times better than the peer, or than the floor where there is no peer. Mark: floor; dashed: aim.</text>`,
    ...scale,
    ...rows,
    '</svg>\n',
  ].join('\n');
}

interface Bar {
  readonly label: string;
  /** Above 1: ours is better. */
  readonly gain: number;
  readonly floor: number | null;
  readonly aim: number;
  readonly colour: string;
}

function barOf(verdict: Verdict): Bar {
  const { ratio, better, floor, aim, peer } = verdict;
  // Without a peer the floor is what ours is divided by.
  const unit = peer === null && floor !== null ? floor : 1;
  const gain = (number: number): number => (better === 'higher' ? number / unit : unit / number);
  const colour = meets(verdict, aim) === true ? COLOURS.aim : meets(verdict, floor);
  return {
    label: `${verdict.line}: ${verdict.case}${peer === null ? '' : ` / ${peer.title}`}`.replace(
      /, beside (the best durable peer|a watch)/,
      '',
    ),
    gain: gain(ratio),
    floor: floor === null ? null : gain(floor),
    aim: gain(aim),
    colour:
      typeof colour === 'string'
        ? colour
        : colour === null
          ? COLOURS.none
          : colour
            ? COLOURS.floor
            : COLOURS.below,
  };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
