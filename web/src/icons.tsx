// The few icons of the page, drawn for it; and the marker pictures of the map as SVG for list and details.

import type { ReactNode } from 'react';
import { useScheme } from './scheme';
import { PALETTES } from './theme';

interface IconProps {
  size?: number;
}

function Glyph({ size = 20, children }: IconProps & { children: ReactNode }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const SearchIcon = (props: IconProps) => (
  <Glyph {...props}>
    <circle cx="11" cy="11" r="6.5" />
    <path d="m16 16 4.5 4.5" />
  </Glyph>
);
export const CloseIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="m6 6 12 12M18 6 6 18" />
  </Glyph>
);
export const PlusIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M12 5v14M5 12h14" />
  </Glyph>
);
export const MinusIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M5 12h14" />
  </Glyph>
);
export const FitIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M4 9V5a1 1 0 0 1 1-1h4M15 4h4a1 1 0 0 1 1 1v4M20 15v4a1 1 0 0 1-1 1h-4M9 20H5a1 1 0 0 1-1-1v-4" />
  </Glyph>
);
export const SunIcon = (props: IconProps) => (
  <Glyph {...props}>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4" />
  </Glyph>
);
export const MoonIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z" />
  </Glyph>
);
export const FollowIcon = (props: IconProps) => (
  <Glyph {...props}>
    <circle cx="12" cy="12" r="6" />
    <path d="M12 2.5v4M12 17.5v4M2.5 12h4M17.5 12h4" />
  </Glyph>
);
export const LinkIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M9.5 14.5 14.5 9.5M8 11l-2.5 2.5a3.6 3.6 0 0 0 5 5L13 16M16 13l2.5-2.5a3.6 3.6 0 0 0-5-5L11 8" />
  </Glyph>
);
export const SortIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M7 5v14M7 19l-3-3M7 19l3-3M13 6h8M13 12h6M13 18h4" />
  </Glyph>
);
export const BackIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="m14.5 5.5-6.5 6.5 6.5 6.5" />
  </Glyph>
);
export const ForwardIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="m9.5 5.5 6.5 6.5-6.5 6.5" />
  </Glyph>
);
export const CalendarIcon = (props: IconProps) => (
  <Glyph {...props}>
    <rect x="4" y="5.5" width="16" height="14.5" rx="2.5" />
    <path d="M4 10.5h16M8.5 3v4M15.5 3v4" />
  </Glyph>
);
export const PlayIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M8 5.5v13l10.5-6.5z" fill="currentColor" />
  </Glyph>
);
export const PauseIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M8.5 6v12M15.5 6v12" strokeWidth="4" />
  </Glyph>
);
export const PreviousIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M6.5 6v12M17.5 6.5v11L9.5 12z" />
  </Glyph>
);
export const NextIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M17.5 6v12M6.5 6.5v11l8-5.5z" />
  </Glyph>
);
export const DownloadIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M12 4v11M7 10.5l5 5 5-5M5 20h14" />
  </Glyph>
);
export const UpIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="m6 15 6-6 6 6" />
  </Glyph>
);
export const DownIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="m6 9 6 6 6-6" />
  </Glyph>
);
export const UploadIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M12 16V5m-5 5 5-5 5 5M5 20h14" />
  </Glyph>
);
export const FilterIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M4 6h16M7 12h10m-7 6h4" />
  </Glyph>
);
export const MoreIcon = (props: IconProps) => (
  <Glyph {...props}>
    <path d="M12 5.5v.01M12 12v.01M12 18.5v.01" strokeWidth="3" />
  </Glyph>
);

/** A herd of three, driven the way the arrow points. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#14213d" />
      <path d="M14.5 7.5 26 16 14.5 24.5l3.2-8.5z" fill="#ffb347" strokeLinejoin="round" />
      <circle cx="10.2" cy="11" r="2" fill="#8fb8e8" />
      <circle cx="7" cy="16" r="2" fill="#8fb8e8" />
      <circle cx="10.2" cy="21" r="2" fill="#8fb8e8" />
    </svg>
  );
}

const HEXAGON = '0,-13 11.3,-6.5 11.3,6.5 0,13 -11.3,6.5 -11.3,-6.5';

function outline(kind: number) {
  if (kind === 2) return <rect x="-11" y="-11" width="22" height="22" rx="5" />;
  if (kind === 3) return <polygon points="0,-14 14,0 0,14 -14,0" />;
  if (kind === 4) return <polygon points={HEXAGON} />;
  if (kind === 0) return <polygon points="0,-14 11,12 0,7 -11,12" />;
  return <path d="M-10 3a10 10 0 1 0 20 0C10-3 5-8 0-15-5-8-10-3-10 3Z" />;
}

function badge(kind: number, colour: string) {
  if (kind === 2) return <polygon fill={colour} points="1.7,-7.6 -5,1.7 -0.4,1.7 -1.7,7.6 5,-1.7 0.4,-1.7" />;
  if (kind === 1) return <circle cy="3" r="3.4" fill={colour} />;
  if (kind === 3) return <circle r="3" fill={colour} />;
  return null;
}

export function MarkerIcon({ kind, freshness, size = 26 }: { kind: number; freshness: number; size?: number }) {
  const palette = PALETTES[useScheme()];
  const colour = [palette.live, palette.stale, palette.offline][freshness] ?? palette.offline;
  const hollow = freshness === 2;
  return (
    <svg width={size} height={size} viewBox="-18 -18 36 36" aria-hidden="true" strokeLinejoin="round">
      {freshness === 1 && <circle r="16.5" fill="none" stroke={colour} strokeWidth="1.6" strokeDasharray="3.2 3.3" />}
      <g
        fill={hollow ? 'none' : colour}
        stroke={colour}
        strokeWidth={hollow ? 2.6 : 1}
        transform={freshness === 1 ? 'scale(0.76)' : undefined}
      >
        {outline(kind)}
        {badge(kind, hollow ? colour : palette.halo)}
      </g>
    </svg>
  );
}

export function FreshnessDot({ freshness, size = 9 }: { freshness: number; size?: number }) {
  const palette = PALETTES[useScheme()];
  const colour = [palette.live, palette.stale, palette.offline][freshness] ?? palette.offline;
  return (
    <svg width={size} height={size} viewBox="-6 -6 12 12" aria-hidden="true">
      {freshness === 0 && <circle r="5" fill={colour} />}
      {freshness === 1 && (
        <>
          <circle r="5" fill="none" stroke={colour} strokeWidth="1.6" />
          <circle r="2.2" fill={colour} />
        </>
      )}
      {freshness === 2 && <circle r="4.4" fill="none" stroke={colour} strokeWidth="2" />}
    </svg>
  );
}
