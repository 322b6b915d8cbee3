//! libtorch, what multiplies, devices and memory.

use ecco_interpreter::Diagnostic;
use ecco_models::device::{self, About};
use ecco_models::error::format_bytes;
use ecco_models::holders::{Holder, holders};
use ecco_models::libtorch::{self, BUILT_FOR, Libtorch, SERVED};
use ecco_models::{gpu, product};
use serde_json::json;

use super::{Findings, Section, line};

/// Below it cells end with MemoryError.
const LEAST_FREE: u64 = 256 << 20;

pub(super) fn sections(findings: &mut Findings) -> Vec<Section> {
    let libtorch = match libtorch::open() {
        Ok(()) => opened(findings),
        Err(error) => {
            let mend = error.hint().unwrap_or_default();
            findings.problem("libtorch", error.to_string(), mend);
            let version = libtorch::opened().and_then(|libtorch| libtorch.version);
            Section {
                title: "libtorch",
                lines: vec![line("version", version.as_deref().unwrap_or("not found"))],
                data: json!({"found": false, "version": version, "served": SERVED}),
            }
        }
    };
    let mut sections = vec![libtorch];
    sections.extend(
        device::devices()
            .ok()
            .map(|devices| of_devices(&devices, &holders())),
    );
    sections.push(memory(findings));
    sections
}

fn opened(findings: &mut Findings) -> Section {
    let known = libtorch::opened();
    let version = known.as_ref().and_then(|libtorch| libtorch.version.clone());
    let has_cuda = known.as_ref().is_some_and(|Libtorch { has_cuda, .. }| *has_cuda);
    if !has_cuda && gpu::memory(0).is_some() {
        findings.note(
            "libtorch",
            "a GPU is here, but this libtorch is without its half for GPUs: models run on the processor",
            format!("pip install --force-reinstall torch=={BUILT_FOR}"),
        );
    }
    let folder = known.map(|libtorch| libtorch.folder);
    let [few, many] = product::chosen();
    let asked = std::env::var("ECCO_MATMUL").ok();
    let shown = folder.as_ref().map(|folder| folder.display().to_string());
    let unknown = || "unknown".to_owned();
    Section {
        title: "libtorch",
        lines: vec![
            line("version", version.clone().unwrap_or_else(unknown)),
            line("folder", shown.unwrap_or_else(unknown)),
            line(
                "for GPUs",
                if has_cuda {
                    "yes"
                } else {
                    "no: without libtorch_cuda.so"
                },
            ),
            line("multiplies", product::said()),
        ],
        data: json!({
            "found": true, "version": version, "built_for": BUILT_FOR, "served": SERVED, "folder": folder, "cuda": has_cuda,
            "products": {"few_rows": few, "many_rows": many, "ECCO_MATMUL": asked},
        }),
    }
}

/// Devices, and under each the kernels that have models there.
fn of_devices(devices: &[About], holders: &[Holder]) -> Section {
    let bytes = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), format_bytes);
    let on = |about: &About| -> Vec<(u32, u64, Vec<String>)> {
        let there = holders.iter().filter_map(|holder| {
            let (bytes, names) = holder.on(&about.device)?;
            Some((
                holder.process,
                bytes,
                names.into_iter().map(str::to_owned).collect(),
            ))
        });
        there.collect()
    };
    let lines = devices.iter().flat_map(|about| {
        let memory = format!("{} free of {}", bytes(about.free), bytes(about.total));
        let each = on(about).into_iter().map(|(process, bytes, names)| {
            let held = format!(
                "{} in kernel {process}: {}",
                format_bytes(bytes),
                names.join(", ")
            );
            line("", held)
        });
        std::iter::once(line(about.device.clone(), memory)).chain(each)
    });
    let data = devices.iter().map(|about| {
        let holders = on(about).into_iter();
        let holders = holders
            .map(|(process, bytes, names)| json!({"process": process, "bytes": bytes, "models": names}));
        json!({
            "device": about.device, "free_bytes": about.free, "total_bytes": about.total,
            "holders": holders.collect::<Vec<_>>(),
        })
    });
    Section {
        title: "devices",
        lines: lines.collect(),
        data: data.collect(),
    }
}

fn memory(findings: &mut Findings) -> Section {
    let (free, total) = (ecco_interpreter::free_memory(), ecco_interpreter::total_memory());
    let limits = ecco_interpreter::memory_limits();
    if let Some(free) = free.filter(|&free| free < LEAST_FREE) {
        findings.problem(
            "memory",
            format!(
                "{} are free, and cells end with MemoryError below {}",
                format_bytes(free),
                format_bytes(LEAST_FREE)
            ),
            "end other programs, or raise the limit",
        );
    }
    let shown = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), format_bytes);
    let mut lines = vec![line("free", format!("{} of {}", shown(free), shown(total)))];
    lines.extend(
        limits
            .iter()
            .map(|limit| line(limit.set_by.clone(), format_bytes(limit.bytes))),
    );
    if limits.is_empty() {
        lines.push(line("limits", "none but the machine's"));
    }
    let of_limits = limits
        .iter()
        .map(|limit| json!({"set_by": limit.set_by, "bytes": limit.bytes}));
    Section {
        title: "memory",
        lines,
        data: json!({"free_bytes": free, "total_bytes": total, "limits": of_limits.collect::<Vec<_>>()}),
    }
}
