// Copies the address of what is shown: the asset, and its day and moment when history is open.

import { Button } from '@mui/material';
import { useEffect, useState } from 'react';
import { history } from '../history';
import { LinkIcon } from '../icons';
import { writeLink } from '../link';
import { copyText } from '../page/copy';
import { strings } from '../strings';

const words = strings.details;
const SAID_MS = 2_000;

export function CopyLink({ assetKey }: { assetKey: string }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    const time = history.replay.shown.get()?.time ?? null;
    const link = writeLink({ key: assetKey, view: null, day: history.day.get(), time });
    const copied = await copyText(`${location.origin}${location.pathname}${link}`);
    setSaid(copied ? words.linkCopied : words.linkNotCopied);
  };
  return (
    <Button
      variant="outlined"
      color="inherit"
      startIcon={<LinkIcon size={17} />}
      onClick={copy}
      sx={{ borderColor: 'divider' }}
    >
      {said ?? words.copyLink}
    </Button>
  );
}
