//! BERT (1810.04805) and those with its blocks: RoBERTa (1907.11692), XLM-R (1911.02116), ELECTRA (2003.10555).

use super::{Family, standard};
use crate::config::{
    Activation, AttentionConfig, Config, ConfigFile, Dense, Embedding, Head, InnerProjection, Label, LabelOf,
    Mlp, Positions, PreNorm, Reading, Residual, Task,
};
use crate::error::Result;

pub(super) const BERT: Family = Family {
    model_type: "bert",
    known_as: "BERT, SciBERT, Legal-BERT, FinBERT, all-MiniLM, BGE",
    config: bert,
    prefixes: &["bert."],
    weights: &[WEIGHTS],
    ignored: &[
        "embeddings.position_ids",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
    ],
    linear_in_out: false,
};

pub(super) const ROBERTA: Family = Family {
    model_type: "roberta",
    known_as: "RoBERTa, DistilRoBERTa, CodeBERT, BERTweet",
    config: |file| roberta(file, "roberta"),
    prefixes: &["roberta."],
    ..BERT
};

pub(super) const CAMEMBERT: Family = Family {
    model_type: "camembert",
    known_as: "CamemBERT",
    config: |file| roberta(file, "camembert"),
    prefixes: &["roberta.", "camembert."],
    ..BERT
};

pub(super) const XLM_ROBERTA: Family = Family {
    model_type: "xlm-roberta",
    known_as: "XLM-RoBERTa, multilingual E5, BGE-M3 and BGE rerankers",
    config: |file| roberta(file, "xlm-roberta"),
    prefixes: &["roberta."],
    ..BERT
};

pub(super) const ELECTRA: Family = Family {
    model_type: "electra",
    known_as: "ELECTRA",
    config: electra,
    prefixes: &["electra."],
    ..BERT
};

/// Names of the blocks, of old files too, and of all the heads.
pub(super) const WEIGHTS: &[(&str, &str)] = &[
    ("embeddings.word_embeddings.weight", "token_embedding.weight"),
    (
        "embeddings.position_embeddings.weight",
        "position_embedding.weight",
    ),
    (
        "embeddings.token_type_embeddings.weight",
        "segment_embedding.weight",
    ),
    ("embeddings.LayerNorm.weight", "embedding_norm.weight"),
    ("embeddings.LayerNorm.bias", "embedding_norm.bias"),
    ("embeddings.LayerNorm.gamma", "embedding_norm.weight"),
    ("embeddings.LayerNorm.beta", "embedding_norm.bias"),
    ("embeddings_project.weight", "project_in.weight"),
    ("embeddings_project.bias", "project_in.bias"),
    (
        "encoder.layer.*.attention.self.query.weight",
        "layers.*.attention.query.weight",
    ),
    (
        "encoder.layer.*.attention.self.query.bias",
        "layers.*.attention.query.bias",
    ),
    (
        "encoder.layer.*.attention.self.key.weight",
        "layers.*.attention.key.weight",
    ),
    (
        "encoder.layer.*.attention.self.key.bias",
        "layers.*.attention.key.bias",
    ),
    (
        "encoder.layer.*.attention.self.value.weight",
        "layers.*.attention.value.weight",
    ),
    (
        "encoder.layer.*.attention.self.value.bias",
        "layers.*.attention.value.bias",
    ),
    (
        "encoder.layer.*.attention.output.dense.weight",
        "layers.*.attention.output.weight",
    ),
    (
        "encoder.layer.*.attention.output.dense.bias",
        "layers.*.attention.output.bias",
    ),
    (
        "encoder.layer.*.attention.output.LayerNorm.weight",
        "layers.*.attention_norm.weight",
    ),
    (
        "encoder.layer.*.attention.output.LayerNorm.bias",
        "layers.*.attention_norm.bias",
    ),
    (
        "encoder.layer.*.attention.output.LayerNorm.gamma",
        "layers.*.attention_norm.weight",
    ),
    (
        "encoder.layer.*.attention.output.LayerNorm.beta",
        "layers.*.attention_norm.bias",
    ),
    (
        "encoder.layer.*.intermediate.dense.weight",
        "layers.*.mlp.up.weight",
    ),
    ("encoder.layer.*.intermediate.dense.bias", "layers.*.mlp.up.bias"),
    ("encoder.layer.*.output.dense.weight", "layers.*.mlp.down.weight"),
    ("encoder.layer.*.output.dense.bias", "layers.*.mlp.down.bias"),
    (
        "encoder.layer.*.output.LayerNorm.weight",
        "layers.*.mlp_norm.weight",
    ),
    ("encoder.layer.*.output.LayerNorm.bias", "layers.*.mlp_norm.bias"),
    (
        "encoder.layer.*.output.LayerNorm.gamma",
        "layers.*.mlp_norm.weight",
    ),
    ("encoder.layer.*.output.LayerNorm.beta", "layers.*.mlp_norm.bias"),
    (
        "cls.predictions.transform.dense.weight",
        "task.masked.dense.weight",
    ),
    ("cls.predictions.transform.dense.bias", "task.masked.dense.bias"),
    (
        "cls.predictions.transform.LayerNorm.weight",
        "task.masked.norm.weight",
    ),
    (
        "cls.predictions.transform.LayerNorm.bias",
        "task.masked.norm.bias",
    ),
    (
        "cls.predictions.transform.LayerNorm.gamma",
        "task.masked.norm.weight",
    ),
    (
        "cls.predictions.transform.LayerNorm.beta",
        "task.masked.norm.bias",
    ),
    ("cls.predictions.decoder.weight", "task.masked.output.weight"),
    ("cls.predictions.bias", "task.masked.output.bias"),
    ("cls.predictions.decoder.bias", "task.masked.output.bias"),
    ("pooler.dense.weight", "task.label.dense.weight"),
    ("pooler.dense.bias", "task.label.dense.bias"),
    ("classifier.weight", "task.label.output.weight"),
    ("classifier.bias", "task.label.output.bias"),
    ("qa_outputs.weight", "task.span.output.weight"),
    ("qa_outputs.bias", "task.span.output.bias"),
    ("sequence_summary.summary.weight", "task.label.dense.weight"),
    ("sequence_summary.summary.bias", "task.label.dense.bias"),
    ("lm_head.dense.weight", "task.masked.dense.weight"),
    ("lm_head.dense.bias", "task.masked.dense.bias"),
    ("lm_head.layer_norm.weight", "task.masked.norm.weight"),
    ("lm_head.layer_norm.bias", "task.masked.norm.bias"),
    ("lm_head.decoder.weight", "task.masked.output.weight"),
    ("lm_head.bias", "task.masked.output.bias"),
    ("lm_head.decoder.bias", "task.masked.output.bias"),
    ("classifier.dense.weight", "task.label.dense.weight"),
    ("classifier.dense.bias", "task.label.dense.bias"),
    ("classifier.out_proj.weight", "task.label.output.weight"),
    ("classifier.out_proj.bias", "task.label.output.bias"),
    ("generator_predictions.dense.weight", "task.masked.dense.weight"),
    ("generator_predictions.dense.bias", "task.masked.dense.bias"),
    (
        "generator_predictions.LayerNorm.weight",
        "task.masked.norm.weight",
    ),
    ("generator_predictions.LayerNorm.bias", "task.masked.norm.bias"),
    ("generator_lm_head.weight", "task.masked.output.weight"),
    ("generator_lm_head.bias", "task.masked.output.bias"),
    (
        "discriminator_predictions.dense.weight",
        "task.replaced.dense.weight",
    ),
    ("discriminator_predictions.dense.bias", "task.replaced.dense.bias"),
    (
        "discriminator_predictions.dense_prediction.weight",
        "task.replaced.output.weight",
    ),
    (
        "discriminator_predictions.dense_prediction.bias",
        "task.replaced.output.bias",
    ),
];

/// What the blocks have in common, for positions from `offset` on.
pub(super) fn blocks(file: &ConfigFile, model_type: &str, offset: usize) -> Result<Config> {
    let (hidden_size, n_layers) = (file.size("hidden_size")?, file.size("num_hidden_layers")?);
    let n_heads = file.size("num_attention_heads")?;
    let head_dim = standard::even_head_dim(file, "num_attention_heads", hidden_size, n_heads)?;
    let n_positions = file.size("max_position_embeddings")?;
    let context_length = n_positions
        .checked_sub(offset)
        .filter(|&length| length > 0)
        .ok_or_else(|| {
            file.refuse(
                "max_position_embeddings",
                &format!("the first {offset} are not used"),
            )
        })?;
    let kind = file.text_or("position_embedding_type", "absolute")?;
    if kind != "absolute" {
        return Err(file.refuse("position_embedding_type", "only absolute is supported"));
    }
    Ok(Config {
        vocab_size: file.size("vocab_size")?,
        context_length,
        intermediate_size: file.size("intermediate_size")?,
        activation: file.activation("hidden_act", Activation::Gelu)?,
        embedding: Embedding {
            n_segments: file.count_or("type_vocab_size", 2)?,
            norm: true,
            ..Embedding::plain(hidden_size)
        },
        positions: Positions::Learned { offset },
        residual: POST,
        attention: AttentionConfig {
            causal: false,
            ..standard::attention(n_layers, head_dim, true, true)
        },
        mlp: Mlp::Plain { bias: true },
        head: Head {
            bias: true,
            ..Head::new(file.flag_or("tie_word_embeddings", true)?)
        },
        ..standard::sized(
            model_type,
            hidden_size,
            n_layers,
            n_heads,
            head_dim,
            standard::layer(file, "layer_norm_eps", 1e-12)?,
        )
    })
}

/// norm(x + attention(x)), then norm(x + mlp(x)).
pub(super) const POST: Residual = Residual {
    before: PreNorm::None,
    after_sum: true,
    final_norm: false,
    ..Residual::PRE
};

fn bert(file: &ConfigFile) -> Result<Config> {
    let config = blocks(file, "bert", 0)?;
    let masked = Dense::with(config.activation).and_norm();
    Ok(Config {
        task: task(file, masked, Dense::with(Activation::Tanh))?,
        ..config
    })
}

fn roberta(file: &ConfigFile, model_type: &str) -> Result<Config> {
    // Positions are counted from the padding's id on.
    let padding = file.count_or("pad_token_id", 1)?;
    let config = blocks(file, model_type, padding + 1)?;
    let masked = Dense::with(Activation::Gelu).and_norm();
    Ok(Config {
        task: task(file, masked, Dense::with(Activation::Tanh))?,
        ..config
    })
}

fn electra(file: &ConfigFile) -> Result<Config> {
    let config = blocks(file, "electra", 0)?;
    let gelu = Dense::with(Activation::Gelu);
    let task = match file.architecture()? {
        "ElectraForPreTraining" => Task::Label(Label {
            of: LabelOf::Token,
            dense: Some(("task.replaced", Dense::with(config.activation))),
            output: "task.replaced.output",
            names: vec!["replaced".into()],
            reading: Reading::Each,
        }),
        _ => task(file, gelu.and_norm(), gelu)?,
    };
    Ok(Config {
        embedding: Embedding {
            size: file.size_or("embedding_size", config.hidden_size)?,
            projected: InnerProjection::Last,
            ..config.embedding
        },
        task,
        ..config
    })
}

/// The task that the class was made for. Labels of tokens have no layer of their own before the last projection.
pub(super) fn task(file: &ConfigFile, masked: Dense, label: Dense) -> Result<Task> {
    let architecture = file.architecture()?;
    let ends = |endings: &[&str]| endings.iter().any(|ending| architecture.ends_with(ending));
    let of_text = Label {
        of: LabelOf::First,
        dense: Some(("task.label", label)),
        output: "task.label.output",
        names: vec![],
        reading: Reading::OneOf,
    };
    let of_tokens = Label {
        of: LabelOf::Token,
        dense: None,
        ..of_text.clone()
    };
    Ok(if ends(&["ForMaskedLM", "ForPreTraining"]) {
        Task::MaskedToken(masked)
    } else if ends(&["ForSequenceClassification"]) {
        let names = file.labels()?;
        Task::Label(Label {
            reading: reading(file, names.len())?,
            names,
            ..of_text
        })
    } else if ends(&["ForTokenClassification"]) {
        Task::Label(Label {
            names: file.labels()?,
            ..of_tokens
        })
    } else if ends(&["ForQuestionAnswering"]) {
        Task::Label(Label {
            output: "task.span.output",
            names: vec!["start".into(), "end".into()],
            reading: Reading::Place,
            ..of_tokens
        })
    } else if ends(&["ForMultipleChoice"]) {
        Task::Label(Label {
            names: vec!["choice".into()],
            reading: Reading::Value,
            ..of_text
        })
    } else if ends(&["Model"]) && !ends(&["LMHeadModel"]) || architecture.is_empty() {
        Task::States
    } else {
        let known = "expected a class for masked tokens, for sequence or token classification, for question answering or \
                     multiple choice, or the bare model";
        return Err(file.refuse("architectures", known));
    })
}

/// What the numbers of a classifier of texts mean.
fn reading(file: &ConfigFile, n_labels: usize) -> Result<Reading> {
    Ok(match file.text_or("problem_type", "")? {
        "multi_label_classification" => Reading::Each,
        "regression" => Reading::Value,
        "" if n_labels == 1 => Reading::Value,
        "" | "single_label_classification" => Reading::OneOf,
        _ => {
            let known = "expected regression, single_label_classification or multi_label_classification";
            return Err(file.refuse("problem_type", known));
        }
    })
}
