//! Setting up a second factor, confirming it with a first code, and taking it away again.

use crate::error::Error;
use crate::login::{recovery_digest, totp_step};
use crate::rows::User;
use crate::users::without_totp;
use crate::{Auth, secrets, totp};
use drover_access::Caller;
use serde::Serialize;
use utoipa::ToSchema;

const RECOVERY_CODES: usize = 10;

/// What an authenticator needs. Shown once.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TotpSetup {
    /// To be typed.
    pub secret: String,
    /// To be shown as a QR code.
    #[schema(example = "otpauth://totp/Drover:alice%40example.com?secret=JBSWY3DPEHPK3PXP&issuer=Drover")]
    pub url: String,
}

impl Auth {
    /// Begins to set up a second factor; it counts from [`Auth::confirm_totp`] on.
    pub async fn begin_totp(&self, caller: &Caller, password: String) -> Result<TotpSetup, Error> {
        let user = self.self_of(caller)?;
        self.prove_password(&user, password).await?;
        let mut work = self.work().await?;
        let before = self.self_of(caller)?;
        if before.totp_on {
            let message = "there is a second factor already".into();
            return Err(Error::Conflict { code: "totp_on", message, help: "DELETE /api/v1/auth/totp first" });
        }
        let secret = totp::new_secret();
        let after = User { totp_secret: secret.clone(), totp_last_step: 0, ..(*before).clone() };
        let after = self.update_user(&mut work, &before, after, &caller.subject).await?;
        work.commit().await?;
        Ok(TotpSetup { url: totp::url(&secret, &after.email), secret })
    }

    /// Turns the second factor on, if the code is right. Gives recovery codes, each good once in place of a code. All other
    /// sessions of the user end.
    pub async fn confirm_totp(&self, caller: &Caller, code: &str) -> Result<Vec<String>, Error> {
        let mut work = self.work().await?;
        let before = self.self_of(caller)?;
        if before.totp_on || before.totp_secret.is_empty() {
            let message = "no second factor is being set up".into();
            return Err(Error::Conflict { code: "no_totp_setup", message, help: "POST /api/v1/auth/totp first" });
        }
        let step = totp_step(&before, code).ok_or_else(|| Error::invalid("code", "the code is not right now"))?;
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| secrets::recovery_code()).collect();
        let recovery = codes.iter().map(|code| recovery_digest(code)).collect();
        let after = User { totp_on: true, totp_last_step: step, recovery, ..(*before).clone() };
        work.end_sessions_of(&before.id, caller.session.as_deref()).await?;
        self.update_user(&mut work, &before, after, &caller.subject).await?;
        work.commit().await?;
        Ok(codes)
    }

    /// Takes the caller's own second factor away, or what was begun of it.
    pub async fn end_totp(&self, caller: &Caller, password: String) -> Result<(), Error> {
        let user = self.self_of(caller)?;
        self.prove_password(&user, password).await?;
        let mut work = self.work().await?;
        let before = self.self_of(caller)?;
        self.update_user(&mut work, &before, without_totp(&before), &caller.subject).await?;
        work.commit().await
    }
}
