//! placeholder until the hub branch lands
use crate::progress::Watch;
#[derive(Debug, thiserror::Error)]
#[error("hub")]
pub struct HubError;
impl HubError {
    pub fn hint(&self) -> Option<String> {
        None
    }
}
#[derive(Default)]
pub struct HubOptions {
    pub revision: Option<String>,
}
pub fn fetch(_: &str, _: &HubOptions, _: &mut Watch) -> Result<std::path::PathBuf, HubError> {
    Err(HubError)
}
