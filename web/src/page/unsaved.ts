// Whether a form holds something that nobody has sent: when the session ends under it, that is said.

import { useEffect } from 'react';

let forms = 0;

/** Says of a form whether something stands in it that is not as it was. */
export function useUnsaved(unsaved: boolean): void {
  useEffect(() => {
    if (!unsaved) return;
    forms++;
    return () => {
      forms--;
    };
  }, [unsaved]);
}

export function isUnsaved(): boolean {
  return forms > 0;
}
