//! Reading certificates: the few fields that are needed, in the form in which they are used.

use crate::error::Refused;
use crate::name::DeviceName;
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A device, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Kind and id.
    pub name: DeviceName,
    /// Serial number, hexadecimal.
    pub serial: Arc<str>,
    /// Until when the certificate is valid, ms UTC.
    pub expires_ms: i64,
}

pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// The serial number as hexadecimal text, without the zeros that stand before it.
pub(crate) fn serial(certificate: &X509Certificate<'_>) -> Arc<str> {
    hexadecimal(certificate.raw_serial())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> Arc<str> {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.trim_start_matches('0').into()
}

/// From when and until when, ms UTC.
pub(crate) fn validity_ms(certificate: &X509Certificate<'_>) -> (i64, i64) {
    let validity = certificate.validity();
    (validity.not_before.timestamp() * 1000, validity.not_after.timestamp() * 1000)
}

pub(crate) fn check_validity(certificate: &X509Certificate<'_>, now_ms: i64) -> Result<(), Refused> {
    let (from, until) = validity_ms(certificate);
    match now_ms {
        now if now < from => Err(Refused::NotYetValid),
        now if now > until => Err(Refused::Expired),
        _ => Ok(()),
    }
}

/// The device that a certificate names: by its URN, or, where an operator's own authority writes none,
/// by its common name. With several of them it is nobody's.
pub(crate) fn device_name(certificate: &X509Certificate<'_>) -> Option<DeviceName> {
    let alternative = certificate.subject_alternative_name().ok()?;
    let names = alternative.iter().flat_map(|names| &names.value.general_names);
    let mut urns = names.filter_map(|name| match name {
        GeneralName::URI(uri) => DeviceName::from_urn(uri),
        _ => None,
    });
    match (urns.next(), urns.next()) {
        (Some(name), None) => Some(name),
        (Some(_), Some(_)) => None,
        (None, _) => {
            let mut names = certificate.subject().iter_common_name();
            let name = names.next()?.as_str().ok()?;
            names.next().is_none().then(|| DeviceName::parse(name).ok()).flatten()
        }
    }
}

/// Whether a server's certificate is good for every one of `names`, as far as they are written in it.
pub(crate) fn names_all(certificate: &X509Certificate<'_>, names: &[String]) -> bool {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return names.is_empty() };
    let has = |wanted: &String| {
        let address = wanted.parse::<IpAddr>().ok().map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        alternative.value.general_names.iter().any(|name| match name {
            GeneralName::DNSName(name) => name.eq_ignore_ascii_case(wanted),
            GeneralName::IPAddress(octets) => address.as_deref() == Some(*octets),
            _ => false,
        })
    };
    names.iter().all(has)
}

/// Whether a certificate was issued by whoever holds it.
pub(crate) fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}
