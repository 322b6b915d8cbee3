//! Addresses: which are a hub's, which belong to the same server, where a redirect leads.

use ureq::http::Uri;

use super::error::HubError;

/// Fails for what could be no hub's address.
pub(super) fn check_endpoint(endpoint: &str) -> Result<(), HubError> {
    let refuse = |reason| {
        Err(HubError::InvalidEndpoint {
            endpoint: endpoint.to_owned(),
            reason,
        })
    };
    match endpoint.parse::<Uri>() {
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            refuse("it must begin with https://")
        }
        Ok(uri) if uri.host().is_none_or(str::is_empty) => refuse("it names no server"),
        Ok(uri) if uri.query().is_some() => refuse("it has a query"),
        Ok(_) => Ok(()),
        Err(_) => refuse("it cannot be read"),
    }
}

/// Scheme, server and port: who may see the token.
pub(super) fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// Scheme, server and port as messages show them: addresses of storage carry signatures that are nobody's business.
pub(super) fn server(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    let parts = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.port_u16())));
    match parts {
        Some((scheme, host, Some(port))) => format!("{scheme}://{host}:{port}"),
        Some((scheme, host, None)) => format!("{scheme}://{host}"),
        None => "the hub".to_owned(),
    }
}

/// The absolute address that a `Location` means; hubs send absolute ones and paths from the root.
pub(super) fn resolve(base: &str, location: &str) -> Option<String> {
    let base: Uri = base.parse().ok()?;
    if let Some(rest) = location.strip_prefix("//") {
        return Some(format!("{}://{rest}", base.scheme_str()?));
    }
    if location.starts_with('/') {
        return Some(format!(
            "{}://{}{location}",
            base.scheme_str()?,
            base.authority()?
        ));
    }
    let target: Uri = location.parse().ok()?;
    let is_web = matches!(target.scheme_str(), Some("http" | "https"));
    // A secure hub never sends to where anybody can change the bytes.
    let is_downgrade = base.scheme_str() == Some("https") && target.scheme_str() == Some("http");
    (is_web && target.host().is_some() && !is_downgrade).then(|| location.to_owned())
}
