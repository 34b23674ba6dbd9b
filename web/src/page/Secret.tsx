// Something that the node says once: shown until it is put away by a button, never by a click beside it.

import { Button, Dialog, DialogActions, DialogContent, DialogTitle } from '@mui/material';
import { strings } from '../strings';
import { CopyButton } from './CopyButton';
import { saveText } from './copy';

const words = strings.page;

export interface SecretPart {
  label: string;
  text: string;
  /** Where it is better kept as a file. */
  file?: string;
}

export interface Secret {
  title: string;
  note?: string;
  parts: SecretPart[];
}

export function SecretDialog({ secret: { title, note, parts }, onClose }: { secret: Secret; onClose: () => void }) {
  return (
    <Dialog open fullWidth maxWidth="sm" aria-label={title}>
      <DialogTitle>{title}</DialogTitle>
      <DialogContent className="form">
        {note && <p>{note}</p>}
        <p className="quiet">{words.secretOnce}</p>
        {parts.map((part) => (
          <Part key={part.label} {...part} />
        ))}
      </DialogContent>
      <DialogActions>
        <Button variant="contained" onClick={onClose}>
          {words.done}
        </Button>
      </DialogActions>
    </Dialog>
  );
}

function Part({ label, text, file }: SecretPart) {
  return (
    <section className="secret" aria-label={label}>
      <header>
        <strong>{label}</strong>
        {file && (
          <Button variant="outlined" size="small" onClick={() => saveText(text, file)}>
            {words.download}
          </Button>
        )}
        <CopyButton text={text} label={label} />
      </header>
      <pre className="command" data-testid="secret">
        {text}
      </pre>
    </section>
  );
}
