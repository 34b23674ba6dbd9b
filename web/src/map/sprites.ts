// The pictures of the markers, painted once per theme into one texture: a row per kind (with and without
// heading), a column per freshness. Freshness is told twice, by colour and by form: live is solid, stale has a
// gap and a thin ring, offline is hollow. Colours keep apart under the common colour-vision deficiencies.

import type { Palette } from '../theme';

export const CELL = 64;
export const COLUMNS = 3;
/** Two rows per kind (without, with heading) and one row of rings. */
export const ROWS = 11;
export const RING_ROW = 10;

const MIDDLE = CELL / 2;
/** Fills the cell: every empty texel costs as much to draw as a full one. */
const STRETCH = 1.2;
type Shape = (grow: number) => Path2D;

function circle(radius: number): Shape {
  return (grow) => {
    const path = new Path2D();
    path.arc(0, 0, radius + grow, 0, Math.PI * 2);
    return path;
  };
}

function polygon(points: [number, number][]): Shape {
  return (grow) => {
    const path = new Path2D();
    const scale = 1 + grow / 17;
    points.forEach(([x, y], at) => {
      if (at === 0) path.moveTo(x * scale, y * scale);
      else path.lineTo(x * scale, y * scale);
    });
    path.closePath();
    return path;
  };
}

function square(half: number, corner: number): Shape {
  return (grow) => {
    const path = new Path2D();
    const side = half + grow;
    path.roundRect(-side, -side, side * 2, side * 2, corner);
    return path;
  };
}

/** A disc with a beak in the direction of travel. */
function beaked(radius: number, tip: number): Shape {
  return (grow) => {
    const r = radius + grow;
    const t = tip + grow * 1.35;
    const angle = Math.acos(r / t);
    const path = new Path2D();
    path.arc(0, 0, r, -Math.PI / 2 + angle, -Math.PI / 2 - angle + Math.PI * 2);
    path.lineTo(0, -t);
    path.closePath();
    return path;
  };
}

const CHEVRON: [number, number][] = [
  [0, -20],
  [14.5, 16],
  [0, 9],
  [-14.5, 16],
];
const DIAMOND: [number, number][] = [
  [0, -17],
  [17, 0],
  [0, 17],
  [-17, 0],
];
const HEXAGON = Array.from({ length: 6 }, (_, side): [number, number] => {
  const angle = (side * Math.PI) / 3 - Math.PI / 2;
  return [Math.cos(angle) * 15.5, Math.sin(angle) * 15.5];
});

/** By kind, in the order of KINDS: form without and with heading. */
const SHAPES: [Shape, Shape][] = [
  [circle(13), polygon(CHEVRON)],
  [circle(13), beaked(12, 21)],
  [square(13, 6), square(13, 6)],
  [polygon(DIAMOND), polygon(DIAMOND)],
  [polygon(HEXAGON), polygon(HEXAGON)],
];

const BOLT: [number, number][] = [
  [2, -9],
  [-6, 2],
  [-0.5, 2],
  [-2, 9],
  [6, -2],
  [0.5, -2],
];

export function paintSprites(palette: Palette): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = CELL * COLUMNS;
  canvas.height = CELL * ROWS;
  const pen = canvas.getContext('2d')!;
  pen.lineJoin = 'round';
  SHAPES.forEach((shapes, kind) => {
    shapes.forEach((shape, headed) => {
      for (let freshness = 0; freshness < COLUMNS; freshness++) {
        cell(pen, freshness, kind * 2 + headed, () => marker(pen, shape, freshness, kind, palette));
      }
    });
  });
  cell(pen, 0, RING_ROW, () => ring(pen, palette.accent, 0.12));
  cell(pen, 1, RING_ROW, () => ring(pen, palette.muted, 0.1));
  return canvas;
}

function cell(pen: CanvasRenderingContext2D, column: number, row: number, paint: () => void): void {
  pen.save();
  pen.translate(column * CELL + MIDDLE, row * CELL + MIDDLE);
  pen.scale(STRETCH, STRETCH);
  paint();
  pen.restore();
}

function marker(pen: CanvasRenderingContext2D, shape: Shape, freshness: number, kind: number, palette: Palette): void {
  const colour = [palette.live, palette.stale, palette.offline][freshness]!;
  pen.fillStyle = palette.halo;
  pen.fill(shape(freshness === 1 ? 6.5 : 3.5));
  if (freshness === 2) {
    pen.fillStyle = palette.surface;
    pen.fill(shape(0));
    pen.strokeStyle = colour;
    pen.lineWidth = 4;
    pen.stroke(shape(-1.5));
  } else {
    pen.fillStyle = colour;
    pen.fill(shape(freshness === 1 ? -2 : 0));
    if (freshness === 1) {
      pen.strokeStyle = colour;
      pen.lineWidth = 2.2;
      pen.stroke(shape(3.6));
    }
  }
  badge(pen, kind, freshness === 2 ? colour : palette.halo);
}

/** What tells kinds apart once markers are big enough to read. */
function badge(pen: CanvasRenderingContext2D, kind: number, colour: string): void {
  pen.fillStyle = colour;
  if (kind === 2) pen.fill(polygon(BOLT)(0));
  if (kind === 1) pen.fill(circle(4.2)(0));
  if (kind === 3) pen.fill(circle(3.4)(0));
}

function ring(pen: CanvasRenderingContext2D, colour: string, fill: number): void {
  const path = circle(24)(0);
  pen.fillStyle = colour;
  pen.globalAlpha = fill;
  pen.fill(path);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 3;
  pen.stroke(path);
}
