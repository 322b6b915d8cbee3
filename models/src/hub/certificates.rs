//! Certificates to trust in place of the built-in ones.

use std::path::Path;

use ureq::tls::{PemItem, TlsConfig, parse_pem};

use super::error::HubError;
use super::settings::HubSettings;
use crate::files::regular;

/// Bytes of certificates, of a file and of a folder.
const LARGEST_PEM: u64 = 16 << 20;

/// What a file has, or the files of a folder.
fn read_pem(file: &Path) -> Result<Vec<u8>, HubError> {
    let failed = |source| HubError::Certificates {
        file: file.to_owned(),
        source,
    };
    if !file.is_dir() {
        return regular::read(file, LARGEST_PEM).map_err(failed);
    }
    let mut pem = Vec::new();
    for entry in std::fs::read_dir(file).map_err(failed)?.flatten() {
        let left = LARGEST_PEM.saturating_sub(pem.len() as u64);
        // Beside certificates there may be anything.
        pem.extend(regular::read(&entry.path(), left).unwrap_or_default());
        pem.push(b'\n');
    }
    Ok(pem)
}

/// Whom to trust, as the settings say.
pub(super) fn tls(settings: &HubSettings) -> Result<TlsConfig, HubError> {
    let Some(file) = &settings.ca_file else {
        return Ok(TlsConfig::default());
    };
    let pem = read_pem(file)?;
    // As other programs do: what cannot be read in a long list of certificates is left out.
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(HubError::NoCertificates { file: file.clone() });
    }
    Ok(TlsConfig::builder().root_certs(certificates.into()).build())
}
