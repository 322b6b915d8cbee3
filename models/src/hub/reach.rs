//! Whether a hub answers, for who asks what is wrong.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::error::HubError;
use super::http::{Ask, Client};
use super::settings::HubSettings;
use ecco_interpreter::Progress;

/// How long the hub takes to answer anything at all: what it says does not matter.
///
/// # Errors
/// Settings that cannot be used, and [`HubError::Unreachable`] or [`HubError::TimedOut`] after `patience` at the latest.
pub fn answers(settings: &HubSettings, patience: Duration) -> Result<Duration, HubError> {
    let settings = HubSettings {
        connect_timeout: patience,
        stall_timeout: patience,
        ..settings.clone()
    };
    let client = Client::new(&settings)?;
    let what = "does it answer?";
    let progress = Progress {
        label: what.into(),
        done: 0,
        total: None,
        unit: "bytes",
    };
    let ask = Ask {
        method: Method::HEAD,
        url: format!("{}/", settings.endpoint),
        from: 0,
        what,
    };
    let start = Instant::now();
    let mut watch = |_: &Progress| match start.elapsed() < patience {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    match client.send(&ask, &progress, &mut watch) {
        Ok(_) => Ok(start.elapsed()),
        Err(HubError::Interrupted) => Err(HubError::TimedOut {
            server: settings.endpoint.clone(),
            what: what.to_owned(),
            after: patience,
        }),
        Err(error) => Err(error),
    }
}
