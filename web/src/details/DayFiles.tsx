// The day as files for other programs.

import { fileAddress } from '../history/client';
import type { ShownDay } from '../history/store';
import { DownloadIcon } from '../icons';
import { strings } from '../strings';

const words = strings.history;
const FORMATS = [
  ['gpx', 'GPX'],
  ['geojson', 'GeoJSON'],
] as const;

export function DayFiles({ shown: { key, day, files } }: { shown: ShownDay }) {
  const part = (at: number) => (files.length > 1 ? ` ${words.part(at + 1, files.length)}` : '');
  return (
    <p className="files">
      <DownloadIcon size={16} />
      {files.length === 0 && <span className="quiet">{words.noFiles}</span>}
      {FORMATS.map(([format, name]) =>
        files.map((span, at) => (
          <a
            key={`${format} ${span.start}`}
            href={fileAddress(key, span, format)}
            download={`${key.replace('/', '-')}-${day}${part(at).replaceAll(' ', '-')}.${format}`}
            aria-label={`${words.download} ${name}${part(at)}`}
          >
            {name}
            {part(at)}
          </a>
        )),
      )}
    </p>
  );
}
