import { Button } from '@mui/material';
import { useEffect, useState } from 'react';
import { strings } from '../strings';
import { copyText } from './copy';

const words = strings.page;
const SAID_MS = 2_000;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <Button
      variant="outlined"
      size="small"
      aria-label={said ?? `${words.copy}: ${label}`}
      onClick={async () => setSaid((await copyText(text)) ? words.copied : words.copyByHand)}
    >
      {said ?? words.copy}
    </Button>
  );
}
