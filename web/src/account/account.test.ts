import { expect, it } from 'vitest';
import { initials } from './AccountMenu';
import { browserName } from './browser';
import { qrOf } from './qr';

it('initials are of the first and the last name, or of the address', () => {
  expect(initials('Ada Lovelace')).toBe('AL');
  expect(initials('Ana Maria de Sousa')).toBe('AS');
  expect(initials('ada@example.com')).toBe('A');
  expect(initials('éva.kiss@example.com')).toBe('ÉK');
});

it('browsers are called as people call them', () => {
  const chrome =
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36';
  expect(browserName(chrome)).toBe('Chrome on Linux');
  expect(browserName(`${chrome} Edg/130.0`.replace('X11; Linux x86_64', 'Windows NT 10.0'))).toBe('Edge on Windows');
  const phone = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1';
  expect(browserName(phone)).toBe('Safari on iPhone');
  expect(browserName('curl/8.5.0')).toBe('curl/8.5.0');
});

it('a QR code has its three corners and quiet ground around', () => {
  const { size, path } = qrOf('otpauth://totp/Drover:ada@example.com?secret=JBSWY3DPEHPK3PXP&issuer=Drover');
  const dark = new Set([...path.matchAll(/M(\d+) (\d+)h1v1h-1z/g)].map(([, x, y]) => `${x} ${y}`));
  const near = 4;
  const far = size - 5;
  for (const [x, y] of [
    [near, near],
    [far, near],
    [near, far],
  ] as const) {
    expect(dark.has(`${x} ${y}`), `corner ${x} ${y}`).toBe(true);
  }
  const places = [...dark].map((place) => place.split(' ').map(Number) as [number, number]);
  expect(Math.min(...places.flat())).toBe(near);
  expect(Math.max(...places.flat())).toBe(far);
});
