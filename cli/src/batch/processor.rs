//! What a worker computes on, in words: results of the same kind are the same to the last bit.

use ecco_models::device;

/// The GPU where there is one, else the processor's name.
pub(super) fn name() -> String {
    let devices = device::devices().unwrap_or_default();
    let has_gpu = devices.iter().any(|about| about.device.starts_with("cuda"));
    let known = match has_gpu {
        true => gpu(),
        false => said("/proc/cpuinfo", "model name"),
    };
    known.unwrap_or_else(|| match has_gpu {
        true => "a GPU".to_owned(),
        false => std::env::consts::ARCH.to_owned(),
    })
}

/// What the driver calls its first one.
fn gpu() -> Option<String> {
    let folder = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .ok()?
        .flatten()
        .next()?;
    said(folder.path().join("information").to_str()?, "Model")
}

/// What a file of the system says of a name, behind a colon.
fn said(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
