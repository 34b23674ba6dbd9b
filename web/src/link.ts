// The address of what is shown: `#vehicle/12@41.15000,-8.61000,14.0`; both halves optional.

export interface ViewPlace {
  latitude: number;
  longitude: number;
  zoom: number;
}

export interface Link {
  key: string | null;
  view: ViewPlace | null;
}

export function readLink(hash: string): Link {
  const [key = '', view = ''] = hash.replace(/^#/, '').split('@');
  const [latitude, longitude, zoom] = view.split(',').map(Number);
  const whole = [latitude, longitude, zoom].every((part) => part !== undefined && Number.isFinite(part));
  const slash = key.indexOf('/');
  return {
    key: slash > 0 && slash < key.length - 1 ? decode(key) : null,
    view: view && whole ? { latitude: latitude!, longitude: longitude!, zoom: zoom! } : null,
  };
}

export function writeLink({ key, view }: Link): string {
  const place = view ? `@${view.latitude.toFixed(5)},${view.longitude.toFixed(5)},${view.zoom.toFixed(2)}` : '';
  return `#${key === null ? '' : key.split('/').map(encodeURIComponent).join('/')}${place}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
