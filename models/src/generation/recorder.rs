//! What happens inside a model while it writes, kept token by token: what a pass over the whole text afterwards would record.

use std::collections::HashMap;

use tch::{Device, Tensor};

use super::{Generation, Job};
use crate::error::Result;
use crate::guard::guard;
use crate::model::Body;
use crate::run::{self, Input, Place, Records};
use crate::tap::{Capture, Site, Tap};

/// Keeps sites whose numbers stand by position, of one text.
pub(super) struct Recorder {
    wanted: Capture,
    /// By site and layer what each pass had, one behind the other: `[1, position, …]`.
    parts: HashMap<(Site, usize), Vec<Tensor>>,
}

impl Recorder {
    /// Where recording costs less than a pass afterwards: one text on a processor by a decoder alone. A GPU's pass over a whole
    /// text takes as long as a token or two, and its recorded steps show nothing. `None` there, for patterns, for texts so long that
    /// the whole is read otherwise than its beginning, and where there may not be room.
    pub(super) fn of(job: &Job, by_steps: bool, places: &[Place], layers: Option<&[usize]>) -> Option<Self> {
        let is_alone = matches!(job.model.body(), Body::Decoder(_)) && job.beams.n_beams == 1;
        let is_here = job.model.stack().device() == Device::Cpu && !by_steps;
        let is_by_position = |place: &Place| {
            ["position", "hidden"]
                .iter()
                .all(|axis| place.axes().contains(axis))
        };
        let longest = Input {
            ids: vec![0; job.max_length],
            ..Input::default()
        };
        let can = !places.is_empty()
            && is_alone
            && is_here
            && job.model.config().positions.are_steady(job.max_length)
            && places
                .iter()
                .all(|place| place.site == Site::MlpInner || is_by_position(place))
            && run::ensure_room(job.model.config(), &[longest], places).is_ok();
        let sites: Vec<Site> = places.iter().map(|place| place.site).collect();
        can.then(|| Self {
            wanted: Capture::new(&sites, layers),
            parts: HashMap::new(),
        })
    }

    /// What was recorded of a text; `None` where nothing was written, for nothing was read.
    pub(super) fn records(
        self,
        job: &Job,
        generation: &Generation,
        layers: Option<&[usize]>,
    ) -> Result<Option<Records>> {
        if generation.n_generated() == 0 {
            return Ok(None);
        }
        let mut ids = generation.ids();
        ids.pop();
        let input = Input {
            ids,
            ..Input::default()
        };
        let n_layers = layers.map_or(job.model.config().n_layers, |_| 0);
        guard(|| {
            let mut own = self.wanted;
            for ((site, layer), parts) in self.parts {
                let _ = own.visit(site, layer, Tensor::cat(&parts, 1));
            }
            let captures = [own, Capture::new(&[], None)];
            Ok(Some(Records::new(captures, [n_layers, 0], &[input])))
        })
    }
}

impl Tap for Recorder {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.wanted.wants(site, layer)
    }
    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            self.parts
                .entry((site, layer))
                .or_default()
                .push(value.shallow_clone());
        }
        value
    }
}
