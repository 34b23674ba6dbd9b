//! Device tokens and certificates, for those who manage devices.

use super::login::no_store;
use super::shape::{Body, IdentityEnvelope, InPath, InQuery, Page, Problems, one, page_of};
use crate::Auth;
use crate::devices::{MadeToken, TokenView, device_of};
use crate::people::time_text;
use axum::Json;
use axum::extract::State as Here;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse, Response};
use drover_access::Caller;
use drover_answer::{ErrorEnvelope, Problem};
use drover_certs::{Listed, Reason};
use drover_model::Kind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Auth> {
    OpenApiRouter::new()
        .routes(routes!(list_device_tokens, create_device_token))
        .routes(routes!(remove_device_token))
        .routes(routes!(list_certificates, issue_certificate))
        .routes(routes!(revoke_certificate))
}

/// Which device tokens, or certificates.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DevicesQuery {
    /// Only those of assets of this kind.
    #[param(example = "driver")]
    kind: Option<String>,
    /// Only those of the asset with this id; needs `kind`.
    #[param(example = "d-1")]
    id: Option<String>,
    /// Which page, from 1.
    #[param(minimum = 1)]
    page: Option<usize>,
    /// Records on a page, up to 1,000; default 25.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl DevicesQuery {
    fn kind(&self) -> Result<Option<Kind>, Problem> {
        if self.id.is_some() && self.kind.is_none() {
            return Err(Problem::invalid("kind", "id needs kind: ids are unique within their kind only"));
        }
        self.kind.as_deref().map(kind_of).transpose()
    }

    fn page(&self) -> Page {
        Page { page: self.page, limit: self.limit }
    }

    /// True if the record of `kind`/`id` is asked for.
    fn wants(&self, kind: Option<Kind>, of: Option<(Kind, &str)>) -> bool {
        kind.is_none_or(|kind| of.is_some_and(|(own, _)| own == kind))
            && self.id.as_deref().is_none_or(|id| of.is_some_and(|(_, own)| own == id))
    }
}

fn kind_of(word: &str) -> Result<Kind, Problem> {
    let unknown = || Problem::invalid("kind", "kind is driver, vehicle, station, rider or other");
    Kind::ALL.into_iter().find(|kind| kind.name() == word).ok_or_else(unknown)
}

/// The device tokens within reach, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/device-tokens", tag = "devices", params(DevicesQuery),
    responses(
        (status = 200, body = IdentityEnvelope<Vec<TokenView>>, description = "a page of device tokens"),
        (status = 422, body = ErrorEnvelope, description = "a value is not allowed")
    )
)]
async fn list_device_tokens(
    Here(auth): Here<Auth>,
    caller: Caller,
    InQuery(query): InQuery<DevicesQuery>,
) -> Result<Json<IdentityEnvelope<Vec<TokenView>>>, Problem> {
    let kind = query.kind()?;
    let mut tokens = auth.device_tokens(&caller, kind.zip(query.id.as_deref()));
    if let Some(kind) = kind {
        tokens.retain(|token| token.kind == kind.name());
    }
    page_of(tokens, query.page())
}

/// A device token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "driver", "id": "d-1"}))]
struct NewToken {
    /// The kind of asset: `driver`, `vehicle`, `station`, `rider` or `other`.
    kind: String,
    /// The asset's id.
    #[schema(min_length = 1, max_length = 64)]
    id: String,
    /// After so many days it is good no more; without, it is until it is removed.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<u32>,
}

/// Make a device token. It is shown once.
#[utoipa::path(
    post, path = "/api/v1/device-tokens", tag = "devices", request_body = NewToken,
    responses((status = 201, body = IdentityEnvelope<MadeToken>, description = "made"), Problems)
)]
async fn create_device_token(
    Here(auth): Here<Auth>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<Response, Problem> {
    let made = auth.create_device_token(&caller, kind_of(&new.kind)?, &new.id, new.expires_in_days).await?;
    Ok((StatusCode::CREATED, AppendHeaders([no_store()]), one(201, made)).into_response())
}

/// Remove a device token: from now on it opens nothing.
#[utoipa::path(
    delete, path = "/api/v1/device-tokens/{id}", tag = "devices",
    params(("id" = String, Path, description = "the token's id")),
    responses((status = 204, description = "removed"), Problems)
)]
async fn remove_device_token(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(id): InPath<String>,
) -> Result<StatusCode, Problem> {
    auth.remove_device_token(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A certificate, as listed.
#[derive(Debug, Serialize, ToSchema)]
struct CertificateView {
    /// Its serial number.
    serial: String,
    /// The kind of asset.
    kind: Option<String>,
    /// The asset's id.
    id: Option<String>,
    /// Since when, RFC 3339.
    issued_at: String,
    /// Until when it is valid, RFC 3339.
    expires_at: String,
    /// When it was taken back, RFC 3339.
    revoked_at: Option<String>,
    /// Why.
    reason: Option<String>,
}

impl From<&Listed> for CertificateView {
    fn from(listed: &Listed) -> CertificateView {
        let device = device_of(listed);
        CertificateView {
            serial: listed.serial.to_string(),
            kind: device.map(|(kind, _)| kind.name().into()),
            id: device.map(|(_, id)| id.to_owned()),
            issued_at: time_text(listed.issued_ms),
            expires_at: time_text(listed.expires_ms),
            revoked_at: listed.revoked.map(|(at_ms, _)| time_text(at_ms)),
            reason: listed.revoked.map(|(_, reason)| reason.name().into()),
        }
    }
}

/// The certificates within reach that Drover issued, oldest first.
#[utoipa::path(
    get, path = "/api/v1/certificates", tag = "devices", params(DevicesQuery),
    responses(
        (status = 200, body = IdentityEnvelope<Vec<CertificateView>>, description = "a page of certificates"),
        (status = 422, body = ErrorEnvelope, description = "a value is not allowed")
    )
)]
async fn list_certificates(
    Here(auth): Here<Auth>,
    caller: Caller,
    InQuery(query): InQuery<DevicesQuery>,
) -> Result<Json<IdentityEnvelope<Vec<CertificateView>>>, Problem> {
    let kind = query.kind()?;
    let mut all = auth.certificates(&caller);
    all.retain(|listed| query.wants(kind, device_of(listed)));
    page_of(all.iter().map(CertificateView::from).collect(), query.page())
}

/// A certificate to be issued.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "driver", "id": "d-1", "days": 365}))]
struct NewCertificate {
    /// The kind of asset: `driver`, `vehicle`, `station`, `rider` or `other`.
    kind: String,
    /// The asset's id.
    #[schema(min_length = 1, max_length = 64)]
    id: String,
    /// For so many days it is valid; default 365.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
    /// A signing request of the device, PEM; then its key stays with the device.
    csr: Option<String>,
}

/// A certificate that was issued. Its key is shown once.
#[derive(Serialize, ToSchema)]
struct IssuedCertificate {
    /// Its serial number.
    serial: String,
    /// The certificate, PEM.
    certificate: String,
    /// Its key, PEM; kept nowhere else. None where the device made its own.
    key: Option<String>,
    /// Drover's own authority, PEM.
    authority: String,
    /// Until when it is valid, RFC 3339.
    expires_at: String,
}

/// Issue a certificate to a device. Its key is shown once.
#[utoipa::path(
    post, path = "/api/v1/certificates", tag = "devices", request_body = NewCertificate,
    responses((status = 201, body = IdentityEnvelope<IssuedCertificate>, description = "issued"), Problems)
)]
async fn issue_certificate(
    Here(auth): Here<Auth>,
    caller: Caller,
    Body(new): Body<NewCertificate>,
) -> Result<Response, Problem> {
    let (kind, days) = (kind_of(&new.kind)?, new.days.unwrap_or(365));
    let issued = auth.issue_certificate(&caller, kind, &new.id, days, new.csr).await?;
    let answer = IssuedCertificate {
        serial: issued.serial.to_string(),
        certificate: issued.certificate_pem,
        key: issued.key_pem,
        authority: auth.0.authority.certificate_pem().to_owned(),
        expires_at: time_text(issued.expires_ms),
    };
    Ok((StatusCode::CREATED, AppendHeaders([no_store()]), one(201, answer)).into_response())
}

/// Why a certificate is taken back.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RevokeQuery {
    /// `unspecified` (default), `key_compromise`, `superseded`, `cessation_of_operation` or `privilege_withdrawn`.
    reason: Option<String>,
}

/// Take a certificate back: from now on it opens nothing, and its connections are cut.
#[utoipa::path(
    delete, path = "/api/v1/certificates/{serial}", tag = "devices",
    params(("serial" = String, Path, description = "the certificate's serial number"), RevokeQuery),
    responses((status = 204, description = "taken back"), Problems)
)]
async fn revoke_certificate(
    Here(auth): Here<Auth>,
    caller: Caller,
    InPath(serial): InPath<String>,
    InQuery(query): InQuery<RevokeQuery>,
) -> Result<StatusCode, Problem> {
    let unknown =
        || Problem::invalid("reason", format!("reason is one of {}", Reason::ALL.map(Reason::name).join(", ")));
    let reason = query.reason.as_deref().map_or(Some(Reason::default()), Reason::parse).ok_or_else(unknown)?;
    auth.revoke_certificate(&caller, &serial, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
