// The phone's panel: a sheet from the bottom with three heights, moved by its handle.

import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef, useState } from 'react';
import { strings } from './strings';

export type Stop = 'low' | 'half' | 'full';

const STOPS: Stop[] = ['low', 'half', 'full'];
const TOP_GAP_PX = 62;
const LOW_PX = 172;
const TAP_PX = 6;

export function sheetHeight(stop: Stop, page: number): number {
  if (stop === 'full') return page - TOP_GAP_PX;
  return stop === 'half' ? Math.round(page * 0.48) : LOW_PX;
}

interface Props {
  stop: Stop;
  page: number;
  onStop: (stop: Stop) => void;
  children: ReactNode;
}

export function Sheet({ stop, page, onStop, children }: Props) {
  const [dragged, setDragged] = useState<number | null>(null);
  const start = useRef({ y: 0, height: 0 });
  const height = dragged ?? sheetHeight(stop, page);

  const down = (event: PointerEvent) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    start.current = { y: event.clientY, height };
    setDragged(height);
  };
  const move = (event: PointerEvent) => {
    if (dragged === null) return;
    const next = start.current.height + start.current.y - event.clientY;
    setDragged(Math.min(Math.max(next, 90), page - TOP_GAP_PX));
  };
  const up = (event: PointerEvent) => {
    if (dragged === null) return;
    const tapped = Math.abs(event.clientY - start.current.y) < TAP_PX;
    onStop(tapped ? STOPS[(STOPS.indexOf(stop) + 1) % 3]! : nearest(dragged, page));
    setDragged(null);
  };
  const keys = (event: KeyboardEvent) => {
    const at = STOPS.indexOf(stop) + (event.key === 'ArrowUp' ? 1 : event.key === 'ArrowDown' ? -1 : 0);
    if (event.key === 'Enter' || event.key === ' ') onStop(STOPS[(STOPS.indexOf(stop) + 1) % 3]!);
    else if (STOPS[at] && STOPS[at] !== stop) onStop(STOPS[at]);
    else return;
    event.preventDefault();
  };
  return (
    <div className="sheet card" style={{ height, transition: dragged === null ? 'height 200ms ease-out' : 'none' }}>
      <button
        type="button"
        className="handle"
        aria-label={strings.controls.sheet}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={() => setDragged(null)}
        onKeyDown={keys}
      />
      {children}
    </div>
  );
}

function nearest(height: number, page: number): Stop {
  const away = (stop: Stop) => Math.abs(sheetHeight(stop, page) - height);
  return STOPS.reduce((best, stop) => (away(stop) < away(best) ? stop : best));
}
