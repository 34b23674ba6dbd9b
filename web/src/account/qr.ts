// A QR code as one SVG path: a key must not travel to be drawn.

import qrcode from 'qrcode-generator';

/** Light modules around the code, as readers need them. */
const QUIET = 4;

export interface Qr {
  /** Modules per side, the quiet ones included. */
  size: number;
  path: string;
}

export function qrOf(text: string): Qr {
  const code = qrcode(0, 'M');
  code.addData(text);
  code.make();
  const count = code.getModuleCount();
  let path = '';
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; column++) {
      if (code.isDark(row, column)) path += `M${column + QUIET} ${row + QUIET}h1v1h-1z`;
    }
  }
  return { size: count + 2 * QUIET, path };
}
