// Before anything else: a one-time password is replaced by one that only its owner knows.

import { Button } from '@mui/material';
import { Alone } from '../page/Frame';
import { session } from '../session';
import { strings } from '../strings';
import { PasswordForm } from './PasswordForm';

export function FirstPassword({ email }: { email: string }) {
  const done = () => {
    session.justUsed = null;
    void session.check();
  };
  return (
    <Alone title={strings.login.first}>
      <p className="quiet">{strings.login.firstText}</p>
      {/* For the browser's store of passwords. */}
      <input type="text" autoComplete="username" value={email} readOnly hidden />
      <PasswordForm current={session.justUsed} currentLabel={strings.account.oneTimePassword} onDone={done} />
      <Button color="inherit" size="small" sx={{ mt: '12px' }} onClick={() => void session.logout()}>
        {strings.account.logout}
      </Button>
    </Alone>
  );
}
