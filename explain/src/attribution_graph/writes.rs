//! What heads, features and errors that are nodes write to the stream.

use ecco_models::Model;
use ecco_models::host::{self, bring};
use ecco_models::model::Body;
use tch::{Kind, Tensor};

use super::Node;
use super::chosen::Chosen;

/// `[hidden]` by node, without the projection's bias. Nothing of encoder–decoders, and of layers that norm what attention
/// writes: there it depends on what the others write.
pub(super) fn of_nodes(model: &Model, chosen: &Chosen) -> Vec<(usize, Vec<f32>)> {
    if matches!(model.body(), Body::EncoderDecoder(_)) {
        return vec![];
    }
    let blocks = &model.stack().blocks;
    let (mut numbers, mut writes) = (Vec::new(), Vec::new());
    // Of a feature that writes in several layers their sum.
    for of_one in chosen.written.chunk_by(|one, other| one.0 == other.0) {
        numbers.push(of_one[0].0);
        let each = of_one
            .iter()
            .map(|(_, written)| bring(&written.write, (Kind::Float, of_one[0].1.write.device())));
        writes.extend(each.reduce(|all, one| all + one));
    }
    for (number, outputs) in &chosen.heads {
        let Node::Head { at, head } = chosen.nodes[*number].node else {
            continue;
        };
        let block = &blocks[at.layer];
        let Some(attention) = block
            .mixer
            .attention()
            .filter(|_| block.attention_post_norm.is_none())
        else {
            continue;
        };
        let output = &attention.output;
        let width = outputs.size()[0];
        let all = Tensor::zeros([1, output.inputs()], (outputs.kind(), outputs.device()));
        all.narrow(1, head as i64 * width, width)
            .copy_(&outputs.unsqueeze(0));
        numbers.push(*number);
        writes.push(output.linear(&all).squeeze_dim(0).to_kind(Kind::Float));
    }
    let writes = host::tensors(&writes.iter().collect::<Vec<_>>());
    let write = |write: &Tensor| host::numbers(write).into_iter().map(|x| x as f32).collect();
    numbers.into_iter().zip(writes.iter().map(write)).collect()
}
