// Asks before something that cannot be taken back.

import { Button, Dialog, DialogActions, DialogContent, DialogTitle } from '@mui/material';
import { strings } from '../strings';
import { Trouble } from './Trouble';
import { useChange } from './useAnswer';

interface Props {
  title: string;
  text: string;
  action: string;
  onYes: () => Promise<unknown>;
  onClose: () => void;
}

export function Confirm({ title, text, action, onYes, onClose }: Props) {
  const { busy, problem, run } = useChange();
  const yes = async () => {
    if (await run(onYes)) onClose();
  };
  return (
    <Dialog open onClose={busy ? undefined : onClose} fullWidth maxWidth="xs" aria-label={title}>
      <DialogTitle>{title}</DialogTitle>
      <DialogContent className="form">
        <p>{text}</p>
        {problem && <Trouble problem={problem} />}
      </DialogContent>
      <DialogActions>
        <Button color="inherit" onClick={onClose} disabled={busy} autoFocus>
          {strings.page.cancel}
        </Button>
        <Button color="error" variant="contained" onClick={yes} disabled={busy}>
          {action}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
