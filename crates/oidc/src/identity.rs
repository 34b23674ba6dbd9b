//! Who logged in, by a checked token and, for what the token leaves out, by the provider's user information.

use openidconnect::core::CoreGenderClaim;
use openidconnect::{AdditionalClaims, EndUserName, IdTokenClaims, LocalizedClaim, UserInfoClaims};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Somebody for whom the provider vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider. A subject means something only together with it.
    pub issuer: String,
    /// The person's id at the provider; never given to somebody else, unlike e-mail addresses.
    pub subject: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether the provider says that it made sure of the address. Without this, anybody may have typed it.
    pub email_verified: bool,
    /// The name to show.
    pub name: Option<String>,
    /// The groups that the provider names in the claim `groups`.
    pub groups: Vec<String>,
    /// What [`crate::Provider::begin`] was given: where to go now.
    pub after: Option<String>,
}

/// The claims beside the standard's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    /// A list of names with most providers, one name with some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Value>,
}

impl AdditionalClaims for Groups {}

pub(crate) type TokenClaims = IdTokenClaims<Groups, CoreGenderClaim>;
pub(crate) type Information = UserInfoClaims<Groups, CoreGenderClaim>;

/// What may be missing in a token.
#[derive(Debug, Default)]
pub(crate) struct Person {
    /// The address, and whether it was verified: these two belong together and come from the same place.
    email: Option<(String, bool)>,
    name: Option<String>,
    groups: Option<Vec<String>>,
}

impl Person {
    pub(crate) fn by_token(claims: &TokenClaims) -> Person {
        Person {
            email: claims.email().map(|email| (email.to_string(), claims.email_verified().unwrap_or(false))),
            name: claims.name().and_then(shown),
            groups: claims.additional_claims().names(),
        }
    }

    pub(crate) fn by_information(claims: &Information) -> Person {
        Person {
            email: claims.email().map(|email| (email.to_string(), claims.email_verified().unwrap_or(false))),
            name: claims.name().and_then(shown),
            groups: claims.additional_claims().names(),
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.email.is_some() && self.name.is_some() && self.groups.is_some()
    }

    /// What was known stays.
    pub(crate) fn or(self, other: Person) -> Person {
        Person {
            email: self.email.or(other.email),
            name: self.name.or(other.name),
            groups: self.groups.or(other.groups),
        }
    }

    pub(crate) fn identity(self, claims: &TokenClaims, after: Option<String>) -> Identity {
        let (email, email_verified) = self.email.unzip();
        Identity {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            email,
            email_verified: email_verified.unwrap_or(false),
            name: self.name,
            groups: self.groups.unwrap_or_default(),
            after,
        }
    }
}

impl Groups {
    fn names(&self) -> Option<Vec<String>> {
        match self.groups.as_ref()? {
            Value::Array(all) => Some(all.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            Value::String(one) => Some(vec![one.clone()]),
            _ => None,
        }
    }
}

/// The name without a language, else the first.
fn shown(name: &LocalizedClaim<EndUserName>) -> Option<String> {
    name.get(None).or_else(|| name.iter().next().map(|(_, name)| name)).map(|name| name.to_string())
}
