//! Which device each part of a model goes to.
//!
//! [`spread`] is a function of numbers alone: what the parts take, and what is free where. So it is tested without
//! the devices. A text passes through the layers in order, so that each device gets neighbours, and the stream
//! moves once from each to the next. Everything that is there once (embeddings, the last norm, heads) is on the main
//! device, where texts come in and logits come out.

use std::cmp::Reverse;
use std::ops::Range;

use tch::{Device, Kind};

use crate::config::Config;
use crate::device::device_name;
use crate::error::{Error, Result, format_bytes};

/// Where weights are, and as which type: as the model's, unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub device: Device,
    pub kind: Option<Kind>,
}

impl Spot {
    pub fn on(device: Device) -> Self {
        Self { device, kind: None }
    }
}

/// A spot for each part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Of all that is no layer's.
    pub main: Spot,
    /// Of the layers whose spot is another: which of them, those of an encoder beside a decoder first.
    pub elsewhere: Vec<(Range<usize>, Spot)>,
    /// How many of the layers are such an encoder's.
    pub n_encoder_layers: usize,
}

impl Placement {
    /// All of it on one device.
    pub fn whole(device: Device) -> Self {
        Self {
            main: Spot::on(device),
            elsewhere: Vec::new(),
            n_encoder_layers: 0,
        }
    }

    /// The spot of a weight, by its canonical name.
    pub fn of(&self, name: &str) -> Spot {
        layer_of(name, self.n_encoder_layers).map_or(self.main, |layer| self.of_layer(layer))
    }

    /// The spot of a layer, those of an encoder beside a decoder counted first.
    pub fn of_layer(&self, layer: usize) -> Spot {
        let found = self.elsewhere.iter().find(|(layers, _)| layers.contains(&layer));
        found.map_or(self.main, |(_, spot)| *spot)
    }

    /// Every device that has a part, the main one first.
    pub fn devices(&self) -> Vec<Device> {
        let mut devices = vec![self.main.device];
        for (_, spot) in &self.elsewhere {
            if !devices.contains(&spot.device) {
                devices.push(spot.device);
            }
        }
        devices
    }
}

/// Which layer a weight belongs to, by its canonical name.
fn layer_of(name: &str, n_encoder_layers: usize) -> Option<usize> {
    let (rest, before) = match name.strip_prefix("encoder.layers.") {
        Some(rest) => (rest, 0),
        None => (name.strip_prefix("layers.")?, n_encoder_layers),
    };
    let number: usize = rest.split_once('.')?.0.parse().ok()?;
    Some(before + number)
}

/// Bytes of a model's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What is no layer's.
    pub main: u64,
    /// By layer, those of an encoder beside a decoder first: weights, and keys and values of [`KEPT_POSITIONS`].
    pub layers: Vec<u64>,
    pub n_encoder_layers: usize,
}

/// Positions whose keys and values find room beside the weights.
pub const KEPT_POSITIONS: usize = 2048;

impl Parts {
    /// Sums up sizes by canonical name.
    pub fn new(config: &Config, sizes: &[(String, u64)], kind: Kind) -> Self {
        let n_encoder_layers = config.encoder.as_ref().map_or(0, |encoder| encoder.n_layers);
        let positions = config.context_length.min(KEPT_POSITIONS);
        let kept = |layer: usize| match config.attention.causal {
            true => config.kept_bytes(layer, positions, kind),
            false => 0,
        };
        let mut parts = Self {
            main: 0,
            layers: vec![0; n_encoder_layers],
            n_encoder_layers,
        };
        parts.layers.extend((0..config.n_layers).map(kept));
        for (name, bytes) in sizes {
            let layer = layer_of(name, n_encoder_layers).and_then(|layer| parts.layers.get_mut(layer));
            *layer.unwrap_or(&mut parts.main) += bytes;
        }
        parts
    }

    pub fn total(&self) -> u64 {
        self.main + self.layers.iter().sum::<u64>()
    }
}

/// A device and its free bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub device: Device,
    pub free: u64,
}

impl Room {
    /// What may be filled with weights: a tenth, and 256 MB at least, are left for what passes through.
    pub fn usable(&self) -> u64 {
        self.free.saturating_sub((self.free / 10).max(256 << 20))
    }
}

/// Places a model's parts by free memory: on one GPU where one has room for all, the first of those; else on several
/// devices, the main part on the one with the most room, layers in order on that one and the next, the host last.
///
/// # Errors
/// [`Error::OutOfMemory`] with the numbers of every device, where there is not room enough.
pub fn spread(parts: &Parts, rooms: &[Room], what: &str) -> Result<Placement> {
    let has_room_for_all = |room: &&Room| room.device != Device::Cpu && room.usable() >= parts.total();
    if let Some(room) = rooms.iter().find(has_room_for_all) {
        return Ok(Placement {
            n_encoder_layers: parts.n_encoder_layers,
            ..Placement::whole(room.device)
        });
    }
    let mut in_order: Vec<&Room> = rooms.iter().filter(|room| room.usable() > 0).collect();
    in_order.sort_by_key(|room| (room.device == Device::Cpu, Reverse(room.usable())));
    fill(parts, in_order.into_iter()).ok_or_else(|| too_large(parts, rooms, what))
}

/// Layers in order, each where there is room left: on the same device as the one before, or on the next.
fn fill<'a>(parts: &Parts, mut rooms: impl Iterator<Item = &'a Room>) -> Option<Placement> {
    let first = rooms.by_ref().find(|room| room.usable() >= parts.main)?;
    let main = Spot::on(first.device);
    let (mut spot, mut left) = (main, first.usable() - parts.main);
    let mut elsewhere: Vec<(Range<usize>, Spot)> = Vec::new();
    for (layer, &bytes) in parts.layers.iter().enumerate() {
        while bytes > left {
            let next = rooms.next()?;
            (spot, left) = (Spot::on(next.device), next.usable());
        }
        left -= bytes;
        match elsewhere.last_mut() {
            Some((layers, last)) if *last == spot => layers.end = layer + 1,
            _ if spot == main => {}
            _ => elsewhere.push((layer..layer + 1, spot)),
        }
    }
    Some(Placement {
        main,
        elsewhere,
        n_encoder_layers: parts.n_encoder_layers,
    })
}

fn too_large(parts: &Parts, rooms: &[Room], what: &str) -> Error {
    let each: Vec<String> = rooms
        .iter()
        .map(|room| format!("{} of {}", format_bytes(room.usable()), device_name(room.device)))
        .collect();
    let largest = parts.layers.iter().max().copied().unwrap_or(0);
    Error::OutOfMemory {
        what: format!(
            "{what} (embeddings and heads {}, {} layers of up to {})",
            format_bytes(parts.main),
            parts.layers.len(),
            format_bytes(largest)
        ),
        needed: format_bytes(parts.total()),
        available: format_bytes(rooms.iter().map(Room::usable).sum()),
        where_: format!("memory for weights ({})", each.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;
    const MB: u64 = 1_000_000;

    fn parts(main: u64, layers: &[u64]) -> Parts {
        Parts {
            main,
            layers: layers.to_vec(),
            n_encoder_layers: 0,
        }
    }

    fn rooms(gpus: &[u64], host: u64) -> Vec<Room> {
        let gpu = |(index, &free)| Room {
            device: Device::Cuda(index),
            free,
        };
        let host = Room {
            device: Device::Cpu,
            free: host,
        };
        gpus.iter().enumerate().map(gpu).chain([host]).collect()
    }

    fn devices(placement: &Placement, n_layers: usize) -> String {
        let layers = (0..n_layers).map(|layer| device_name(placement.of_layer(layer).device));
        let all: Vec<String> = [device_name(placement.main.device)]
            .into_iter()
            .chain(layers)
            .collect();
        all.join(" ")
    }

    fn spread_out(parts: &Parts, rooms: &[Room]) -> String {
        devices(&spread(parts, rooms, "loading it").unwrap(), parts.layers.len())
    }

    #[test]
    fn one_gpu_with_room_for_all_has_all() {
        let model = parts(GB, &[GB; 3]);
        assert_eq!(
            spread_out(&model, &rooms(&[8 * GB], GB)),
            "cuda:0 cuda:0 cuda:0 cuda:0"
        );
        // Not the one with the most room: the first.
        assert_eq!(
            spread_out(&model, &rooms(&[8 * GB, 80 * GB], GB)),
            "cuda:0 cuda:0 cuda:0 cuda:0"
        );
        assert_eq!(
            spread_out(&model, &rooms(&[2 * GB, 8 * GB], GB)),
            "cuda:1 cuda:1 cuda:1 cuda:1"
        );
        assert_eq!(spread_out(&model, &rooms(&[], 8 * GB)), "cpu cpu cpu cpu");
    }

    #[test]
    fn several_devices_get_neighbours_and_the_host_comes_last() {
        let model = parts(GB, &[GB; 6]);
        assert_eq!(
            spread_out(&model, &rooms(&[3 * GB, 6 * GB], 100 * GB)),
            "cuda:1 cuda:1 cuda:1 cuda:1 cuda:1 cuda:0 cuda:0"
        );
        assert_eq!(
            spread_out(&model, &rooms(&[4 * GB, 3 * GB], 100 * GB)),
            "cuda:0 cuda:0 cuda:0 cuda:1 cuda:1 cpu cpu"
        );
        // A GPU without room for the embeddings has nothing, as texts would have to come in on the host.
        assert_eq!(
            spread_out(&parts(5 * GB, &[GB; 2]), &rooms(&[4 * GB], 100 * GB)),
            "cpu cpu cpu"
        );
        // A layer that is too large for one device goes to the next.
        assert_eq!(
            spread_out(&parts(GB, &[GB, 5 * GB, GB]), &rooms(&[4 * GB, 3 * GB], 100 * GB)),
            "cuda:0 cuda:0 cpu cpu"
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_numbers() {
        let error = spread(&parts(GB, &[GB; 6]), &rooms(&[3 * GB], 2 * GB), "loading \"it\"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "loading \"it\" (embeddings and heads 1.0 GB, 6 layers of up to 1.0 GB) needs 7.0 GB, but 4.4 GB of memory \
             for weights (2.7 GB of cuda:0, 1.7 GB of cpu) is available"
        );
    }

    /// Whatever the sizes: no device gets more than it has room for, none that comes earlier is left out while it has
    /// room for the layer, the order is kept; and what is refused has no room.
    #[test]
    fn every_placement_fits_and_every_refusal_is_due() {
        let mut state = 7_u64;
        let mut draw = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let (mut n_whole, mut n_spread, mut n_refused) = (0, 0, 0);
        for _ in 0..20_000 {
            let layers: Vec<u64> = (0..1 + draw(12)).map(|_| (1 + draw(900)) * MB).collect();
            let parts = parts((1 + draw(1500)) * MB, &layers);
            let gpus: Vec<u64> = (0..draw(4)).map(|_| draw(5000) * MB).collect();
            let rooms = rooms(&gpus, draw(6000) * MB);
            let usable = |device| {
                rooms
                    .iter()
                    .find(|room| room.device == device)
                    .map_or(0, Room::usable)
            };
            let Ok(placement) = spread(&parts, &rooms, "it") else {
                n_refused += 1;
                // Layers are not broken up, so that each device may keep a part empty that the next layer needs.
                let lost = parts.layers.iter().max().unwrap() * rooms.len() as u64;
                let all: u64 = rooms.iter().map(Room::usable).sum();
                let is_short = all < parts.total() + lost;
                let no_main = rooms.iter().filter(|room| room.usable() >= parts.main);
                let after_main: u64 = no_main.map(Room::usable).sum();
                assert!(
                    is_short || after_main < parts.total() + lost,
                    "{parts:?} {rooms:?}"
                );
                continue;
            };
            let devices = placement.devices();
            match devices.len() {
                1 => n_whole += 1,
                _ => n_spread += 1,
            }
            for device in &devices {
                let of_layers: u64 = (0..layers.len())
                    .filter(|&layer| placement.of_layer(layer).device == *device)
                    .map(|layer| layers[layer])
                    .sum();
                let main = if *device == placement.main.device {
                    parts.main
                } else {
                    0
                };
                assert!(
                    of_layers + main <= usable(*device),
                    "{parts:?} {rooms:?} {placement:?}"
                );
            }
            let mut order: Vec<Device> = (0..layers.len())
                .map(|layer| placement.of_layer(layer).device)
                .collect();
            order.dedup();
            let mut distinct = order.clone();
            distinct.sort_by_key(|device| device_name(*device));
            distinct.dedup();
            assert_eq!(order.len(), distinct.len(), "a device comes twice: {placement:?}");
            assert!(
                order.iter().rev().skip(1).all(|device| *device != Device::Cpu),
                "{placement:?}"
            );
        }
        assert!(
            n_whole > 1000 && n_spread > 1000 && n_refused > 1000,
            "{n_whole} {n_spread} {n_refused}"
        );
    }

    #[test]
    fn weights_are_found_by_name() {
        let gpu = Spot::on(Device::Cuda(1));
        let placement = Placement {
            main: Spot::on(Device::Cpu),
            elsewhere: vec![(1..4, gpu)],
            n_encoder_layers: 2,
        };
        let on = |name| placement.of(name) == gpu;
        for name in [
            "encoder.layers.1.mlp.up.weight",
            "layers.0.cross.query.bias",
            "layers.1.mlp.experts.7.up.weight",
        ] {
            assert!(on(name), "{name}");
        }
        for name in [
            "token_embedding.weight",
            "encoder.layers.0.mlp.up.weight",
            "layers.2.x",
            "head.weight",
        ] {
            assert!(!on(name), "{name}");
        }
        assert_eq!(placement.devices(), [Device::Cpu, Device::Cuda(1)]);
    }
}
