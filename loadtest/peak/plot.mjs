// The plot of a run: from its JSON to a picture for README.md.
//
//   node loadtest/peak/plot.mjs loadtest/results/2026-11-23-peak.json docs/peak.png
//
// A name that ends in `.svg` writes the drawing itself. Text is set in the system's fonts: without
// a sans-serif one the picture would be silent, and none is written.

import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../e2e/package.json', import.meta.url));

const WIDTH = 1000;
const HEIGHT = 430;
const TOP = 78;
const BOTTOM = 372;
const PANELS = { flags: { left: 84, right: 490 }, modes: { left: 640, right: 970 } };
const MODES_AT_FLAGS = 200;
/** From dark to light and apart for who sees no red or green (Okabe and Ito). */
const LOOKS = {
  ceiling: { label: 'actix-web, a constant', colour: '#999999' },
  'offleash-frontend': { label: 'Offleash /api/frontend', colour: '#0072b2' },
  'offleash-proxy': { label: 'Offleash /proxy', colour: '#56b4e9' },
  edge: { label: 'Unleash Edge 20.1.0', colour: '#d55e00' },
  proxy: { label: 'Unleash Proxy 1.4.9', colour: '#e69f00' },
};

const escaped = (text) => String(text).replace(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const text = (x, y, words, { anchor = 'start', size = 13, colour = '#333', weight = 'normal' } = {}) =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}" fill="${colour}" font-weight="${weight}">${escaped(words)}</text>`;
const line = (x1, y1, x2, y2, colour = '#ddd') => `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${colour}"/>`;
const dot = (x, y, colour) => `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="5" fill="${colour}"/>`;

/** Where a number stands between two ends, on a logarithmic scale of whole decades. */
function scale(numbers, from, to) {
  const [low, high] = [Math.floor(Math.log10(Math.min(...numbers))), Math.ceil(Math.log10(Math.max(...numbers)))];
  const span = Math.max(1, high - low);
  const at = (number) => from + ((Math.log10(number) - low) / span) * (to - from);
  return { at, decades: Array.from({ length: span + 1 }, (_, n) => 10 ** (low + n)) };
}

const whole = (number) => number.toLocaleString('en-GB');

/** Plain answers a second over the number of flags: a line for each program. */
function byFlags(rows) {
  const plain = rows.filter(({ mode }) => mode === 'plain');
  const { left, right } = PANELS.flags;
  const y = scale(plain.map(({ perSecond }) => perSecond), BOTTOM, TOP);
  const counts = [...new Set(plain.map(({ flags }) => flags))].sort((a, b) => a - b);
  // Evenly spaced: what grows is the point, not by how much exactly.
  const x = (flags) => left + ((counts.indexOf(flags) + 0.5) / counts.length) * (right - left);
  const parts = [text(left, TOP - 18, 'Plain answers a second, by number of flags', { weight: 'bold' })];
  for (const decade of y.decades) parts.push(line(left, y.at(decade), right, y.at(decade)), text(left - 8, y.at(decade) + 4, whole(decade), { anchor: 'end', size: 12 }));
  for (const flags of counts) parts.push(text(x(flags), BOTTOM + 20, `${whole(flags)} flags`, { anchor: 'middle', size: 12 }));
  for (const [program, { colour }] of Object.entries(LOOKS)) {
    const points = plain.filter((row) => row.program === program).sort((a, b) => a.flags - b.flags).map((row) => [x(row.flags), y.at(row.perSecond)]);
    parts.push(`<polyline points="${points.map((point) => point.map((each) => each.toFixed(1)).join(',')).join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    parts.push(...points.map(([px, py]) => dot(px, py, colour)));
  }
  return parts;
}

/** Answers a second in each mode: a row for each mode, a dot for each program. */
function byMode(rows) {
  const at200 = rows.filter(({ flags }) => flags === MODES_AT_FLAGS);
  if (at200.length === 0) return [];
  const { left, right } = PANELS.modes;
  const x = scale(at200.map(({ perSecond }) => perSecond), left, right);
  const modes = [...new Set(at200.map(({ mode }) => mode))];
  const y = (mode) => TOP + ((modes.indexOf(mode) + 0.5) / modes.length) * (BOTTOM - TOP);
  const parts = [text(left - 96, TOP - 18, `Answers a second with ${MODES_AT_FLAGS} flags, by what is asked`, { weight: 'bold' })];
  for (const decade of x.decades) parts.push(line(x.at(decade), TOP, x.at(decade), BOTTOM), text(x.at(decade), BOTTOM + 20, whole(decade), { anchor: 'middle', size: 12 }));
  for (const mode of modes) parts.push(line(left, y(mode), right, y(mode), '#eee'), text(left - 12, y(mode) + 4, mode, { anchor: 'end' }));
  for (const [program, { colour }] of Object.entries(LOOKS)) {
    parts.push(...at200.filter((row) => row.program === program).map((row) => dot(x.at(row.perSecond), y(row.mode), colour)));
  }
  return parts;
}

/** The drawing as SVG. */
export function drawing({ date, machine, options, throughput }) {
  const present = Object.entries(LOOKS).filter(([program]) => throughput.some((row) => row.program === program));
  const legend = present.flatMap(([, { label, colour }], n) => [dot(76 + n * 190, 24, colour), text(87 + n * 190, 28, label, { size: 12.5 })]);
  // By its name alone: the report has the rest, and the line has to fit.
  const cpu = machine.cpu.replace(/ \(.*/, '');
  const foot = `${date.slice(0, 10)}, ${cpu}: one core for the program, one for wrk; ${whole(Number(options.contexts))} different contexts, ${options.connections} connections, ` +
    `medians of ${options.rounds} rounds of ${options.seconds} s. Logarithmic scales.`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="DejaVu Sans, Liberation Sans, Arial, sans-serif">
<rect width="100%" height="100%" fill="white"/>
${[...legend, ...byFlags(throughput), ...byMode(throughput), text(20, HEIGHT - 12, foot, { size: 11, colour: '#777' })].join('\n')}
</svg>
`;
}

/** The drawing as PNG, twice as many pixels each way. */
function pictured(svg) {
  const { Resvg } = require('@resvg/resvg-js');
  const word = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" font-family="DejaVu Sans, Liberation Sans, Arial, sans-serif"><text x="2" y="15">Wm</text></svg>';
  if (!new Resvg(word).getBBox()) throw new Error('the system has no sans-serif font: apt-get install fonts-dejavu-core');
  return new Resvg(svg, { fitTo: { mode: 'width', value: 2 * WIDTH } }).render().asPng();
}

const [from, to] = process.argv.slice(2);
if (!to) throw new Error('usage: plot.mjs <run.json> <picture.png or .svg>');
const svg = drawing(JSON.parse(readFileSync(from, 'utf8')));
writeFileSync(to, to.endsWith('.svg') ? svg : pictured(svg));
