// Positions on the web-mercator square as whole numbers: x in 2^-32 of the world's width, y in 2^-31 of its
// height (9 mm and 19 mm at the equator). Differences of x taken as 32-bit integers wrap by themselves, so the
// way from 179.9° to -179.9° is the short one, on the CPU and in the shader alike. y has one bit less so that
// a difference across the whole map still fits a signed integer.

export const X_UNITS = 2 ** 32;
export const Y_UNITS = 2 ** 31;
const MAX_LATITUDE = 85.0511287;

export function toX(longitude: number): number {
  const turns = longitude / 360 + 0.5;
  return Math.floor((turns - Math.floor(turns)) * X_UNITS) >>> 0;
}

export function toY(latitude: number): number {
  const clamped = Math.min(Math.max(latitude, -MAX_LATITUDE), MAX_LATITUDE);
  const sine = Math.sin((clamped * Math.PI) / 180);
  const y = 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
  return Math.min(Math.max(Math.floor(y * Y_UNITS), 0), Y_UNITS - 1);
}

export function toLongitude(x: number): number {
  return (x / X_UNITS) * 360 - 180;
}

export function toLatitude(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - (2 * y) / Y_UNITS))) * 180) / Math.PI;
}

/** Signed way from one x to another, the short way round the globe. */
export function xStep(from: number, to: number): number {
  return (to - from) | 0;
}

/** Metres between two positions; good for the short steps of a moving asset. */
export function metres(fromX: number, fromY: number, toX: number, toY: number): number {
  const circumference = 40_075_017;
  const scale = Math.cos((toLatitude((fromY + toY) / 2) * Math.PI) / 180) * circumference;
  return Math.hypot((xStep(fromX, toX) / X_UNITS) * scale, ((toY - fromY) / Y_UNITS) * scale);
}
