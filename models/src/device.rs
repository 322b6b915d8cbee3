//! Where a model lives, and how much room there is.

use tch::{Cuda, Device, Kind};

use crate::error::{Error, Result, refuse};
use crate::placement::Room;
use crate::{gpu, libtorch};

/// The option that spreads a model over what there is.
pub const AUTO: &str = "auto";

/// The device an option names; without one, the first GPU if there is one.
pub fn device(name: Option<&str>) -> Result<Device> {
    libtorch::open()?;
    let n_gpus = n_gpus();
    let refused = |reason: &str| refuse("device", format!("{:?}", name.unwrap_or_default()), reason);
    let index = match name {
        None => return Ok(if n_gpus > 0 { Device::Cuda(0) } else { Device::Cpu }),
        Some("cpu") => return Ok(Device::Cpu),
        Some("cuda") => 0,
        Some(other) => other
            .strip_prefix("cuda:")
            .and_then(|index| index.parse::<usize>().ok())
            .ok_or_else(|| refused("expected \"cpu\", \"cuda\", \"cuda:N\" or \"auto\""))?,
    };
    match n_gpus {
        0 => Err(refused("no CUDA device was found; \"cpu\" works everywhere")),
        n if index >= n => Err(refused(&format!("there are {n} CUDA devices, numbered from 0"))),
        _ => Ok(Device::Cuda(index)),
    }
}

fn n_gpus() -> usize {
    if Cuda::is_available() {
        Cuda::device_count() as usize
    } else {
        0
    }
}

/// Every device with what is free on it, GPUs first; of a GPU whose driver does not tell, nothing.
pub fn rooms() -> Result<Vec<Room>> {
    libtorch::open()?;
    gpu::give_back();
    let devices = (0..n_gpus()).map(Device::Cuda).chain([Device::Cpu]);
    let room = |device| Room {
        device,
        free: free_memory(device).unwrap_or(0),
    };
    Ok(devices.map(room).collect())
}

/// A device, and bytes of its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// `cuda:0`, `cpu`.
    pub device: String,
    /// None where the driver does not tell.
    pub total: Option<u64>,
    pub free: Option<u64>,
    /// What this process has there; of the host it is not known.
    pub tensors: Option<gpu::Tensors>,
}

/// The devices that a model can be on, GPUs first, with their memory.
///
/// # Errors
/// [`Error::NoLibtorch`].
pub fn devices() -> Result<Vec<About>> {
    libtorch::open()?;
    let of_gpu = |index| {
        let memory = gpu::memory(index);
        About {
            device: device_name(Device::Cuda(index)),
            total: memory.map(|memory| memory.total),
            free: memory.map(|memory| memory.free),
            tensors: Some(gpu::tensors(index)),
        }
    };
    let host = About {
        device: device_name(Device::Cpu),
        total: ecco_interpreter::total_memory(),
        free: available_host_memory(),
        tensors: None,
    };
    Ok((0..n_gpus()).map(of_gpu).chain([host]).collect())
}

/// What CUDA's libraries take of a GPU for themselves when a process begins to use it; the 550 MB of a context are gone
/// already when the driver is asked.
const LIBRARY_BYTES: u64 = 200_000_000;

/// Bytes that are free for tensors on a device, where it tells.
pub fn free_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => available_host_memory(),
        Device::Cuda(index) => gpu::memory(index).map(|memory| for_tensors(memory.free, gpu::tensors(index))),
        _ => None,
    }
}

/// Of what the driver has left: before there are tensors, the process has yet to take its own.
fn for_tensors(free: u64, tensors: gpu::Tensors) -> u64 {
    match tensors.reserved {
        0 => free.saturating_sub(LIBRARY_BYTES),
        _ => free,
    }
}

/// `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".into(),
    }
}

const KINDS: &[(&str, Kind)] = &[
    ("float32", Kind::Float),
    ("float16", Kind::Half),
    ("bfloat16", Kind::BFloat16),
    ("float64", Kind::Double),
    ("f32", Kind::Float),
    ("f16", Kind::Half),
    ("bf16", Kind::BFloat16),
    ("f64", Kind::Double),
];

/// The option that leaves weights as their files have them.
pub const STORED: &str = "stored";

/// The number type an option names, by PyTorch's names or the short ones.
pub fn kind(name: &str) -> Result<Kind> {
    KINDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            refuse(
                "dtype",
                format!("{name:?}"),
                "expected float32, float16, bfloat16, float64 or stored",
            )
        })
}

pub fn kind_name(kind: Kind) -> &'static str {
    KINDS
        .iter()
        .find(|(_, known)| *known == kind)
        .map_or("other", |(name, _)| name)
}

/// Memory the host, or this process's container, can still give without swapping, in bytes, where the system says so.
pub fn available_host_memory() -> Option<u64> {
    ecco_interpreter::free_memory()
}

/// Memory that the tensors of one step may take: `least` on a host, where more at once is no faster; of a GPU, where each
/// step is waited for, an eighth of what is free, up to 16 times that.
pub fn step_bytes(device: Device, least: u64) -> u64 {
    match device {
        Device::Cpu => least,
        device => {
            let free = free_memory(device).unwrap_or(0);
            (free / 8).clamp(least, 16 * least)
        }
    }
}

/// Waits until a device has done all that it was asked for: work is handed to GPUs and goes on there.
pub fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}

/// Refuses work that would not fit, before anything is allocated. On a GPU libtorch keeps freed memory for itself,
/// which counts as free here only as far as the driver knows; so only loading asks for it there.
pub fn ensure_room(device: Device, needed: u64, what: &str) -> Result<()> {
    match device {
        Device::Cpu => ensure_free(device, needed, what),
        _ => Ok(()),
    }
}

/// The same on any device.
pub fn ensure_free(device: Device, needed: u64, what: &str) -> Result<()> {
    let is_short = || free_memory(device).filter(|&available| needed > available);
    // What libtorch keeps of an unloaded model is free, too, once it is given back.
    let short = is_short().and_then(|_| {
        gpu::give_back();
        is_short()
    });
    match short {
        Some(available) => Err(Error::OutOfMemory {
            what: what.to_owned(),
            needed: crate::error::format_bytes(needed),
            available: crate::error::format_bytes(available),
            where_: match device {
                Device::Cpu => "host memory".into(),
                device => format!("the memory of {}", device_name(device)),
            },
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_in_use_yet_has_less_room_than_its_driver_says() {
        let used = gpu::Tensors {
            now: 1,
            peak: 1,
            reserved: 2 << 20,
        };
        assert_eq!(for_tensors(2_400_000_000, gpu::Tensors::default()), 2_200_000_000);
        assert_eq!(for_tensors(2_400_000_000, used), 2_400_000_000);
        assert_eq!(for_tensors(1, gpu::Tensors::default()), 0);
    }
}
