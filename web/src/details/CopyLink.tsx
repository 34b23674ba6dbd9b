// Copies the address of what is shown: the asset, and its day and moment when history is open.

import { Button } from '@mui/material';
import { useEffect, useState } from 'react';
import { history } from '../history';
import { LinkIcon } from '../icons';
import { writeLink } from '../link';
import { strings } from '../strings';

const words = strings.details;
const COPIED_MS = 2_000;

export function CopyLink({ assetKey }: { assetKey: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    const time = history.replay.shown.get()?.time ?? null;
    const link = writeLink({ key: assetKey, view: null, day: history.day.get(), time });
    await navigator.clipboard?.writeText(`${location.origin}${location.pathname}${link}`);
    setCopied(true);
  };
  return (
    <Button
      variant="outlined"
      color="inherit"
      startIcon={<LinkIcon size={17} />}
      onClick={copy}
      sx={{ borderColor: 'divider' }}
    >
      {copied ? words.linkCopied : words.copyLink}
    </Button>
  );
}
