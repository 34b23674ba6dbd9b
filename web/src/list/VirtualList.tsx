// A list of any length that renders only the rows in sight.

import { type KeyboardEvent, type ReactNode, type Ref, useEffect, useImperativeHandle, useRef, useState } from 'react';

const SPARE_ROWS = 4;

export interface VirtualListHandle {
  focus(): void;
  scrollTo(row: number): void;
}

interface Props {
  count: number;
  rowHeight: number;
  label: string;
  activeId: string | undefined;
  row: (row: number) => ReactNode;
  onKeyDown: (event: KeyboardEvent) => void;
  ref: Ref<VirtualListHandle>;
}

export function VirtualList({ count, rowHeight, label, activeId, row, onKeyDown, ref }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [scroll, setScroll] = useState(0);
  const [height, setHeight] = useState(600);

  useEffect(() => {
    const watch = new ResizeObserver(() => setHeight(box.current?.clientHeight ?? 0));
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);

  useImperativeHandle(ref, () => ({
    focus: () => box.current?.focus(),
    scrollTo: (target) => {
      const view = box.current!;
      const top = target * rowHeight;
      if (top < view.scrollTop) view.scrollTop = top;
      else if (top + rowHeight > view.scrollTop + view.clientHeight)
        view.scrollTop = top + rowHeight - view.clientHeight;
    },
  }));

  const first = Math.max(0, Math.floor(scroll / rowHeight) - SPARE_ROWS);
  const past = Math.min(count, Math.ceil((scroll + height) / rowHeight) + SPARE_ROWS);
  const rows: ReactNode[] = [];
  for (let at = first; at < past; at++) rows.push(row(at));

  return (
    <div
      ref={box}
      className="rows"
      role="listbox"
      tabIndex={0}
      aria-label={label}
      aria-activedescendant={activeId}
      onKeyDown={onKeyDown}
      onScroll={(event) => setScroll(event.currentTarget.scrollTop)}
    >
      <div style={{ height: count * rowHeight, position: 'relative' }}>{rows}</div>
    </div>
  );
}
