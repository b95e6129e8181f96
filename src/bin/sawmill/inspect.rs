//! `sawmill inspect`: what a model is, what it takes and gives, how it computes and which kernels run it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use sawmill::{
    Aggregate, Classes, Facts, Feature, FeatureKind, Float, Forest, Labels, Link, Model, ModelOptions, NumericProfile,
    Pipeline, Plan, Schema, Source,
};
use serde::Serialize;
use serde_json::Value;

use crate::args::InspectArgs;

/// Features named in the text.
const SHOWN_FEATURES: usize = 20;

/// Categories of a feature named in the text.
const SHOWN_CATEGORIES: usize = 5;

pub fn run(args: &InspectArgs) -> Result<()> {
    let mut options = ModelOptions::default();
    if let Some(format) = args.format {
        options = options.format(format);
    }
    let model = options.load(&args.model)?;
    let text = if args.json { as_json(&model)? } else { as_text(&args.model, &model) };
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("stdout")
}

/// What is printed with `--json`. The keys are stable: scripts read them.
#[derive(Serialize)]
struct Report<'a> {
    source: &'a Source,
    schema: &'a Schema,
    facts: &'a Facts,
    /// Of a forest.
    #[serde(skip_serializing_if = "Option::is_none")]
    arithmetic: Option<Arithmetic<'a>>,
    /// Of a pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a Pipeline>,
    plan: &'a Plan,
}

#[derive(Serialize)]
struct Arithmetic<'a> {
    profile: NumericProfile,
    base: &'a [f64],
    link: Link,
    aggregate: Aggregate,
    labels: Labels,
}

impl<'a> Arithmetic<'a> {
    fn of(forest: &'a Forest) -> Self {
        Self {
            profile: forest.profile(),
            base: forest.base(),
            link: forest.link(),
            aggregate: forest.aggregate(),
            labels: forest.labels(),
        }
    }
}

fn as_json(model: &Model) -> Result<String> {
    let report = Report {
        source: model.source(),
        schema: model.schema(),
        facts: model.facts(),
        arithmetic: model.forest().map(Arithmetic::of),
        pipeline: model.pipeline(),
        plan: model.plan(),
    };
    Ok(serde_json::to_string_pretty(&report)?)
}

fn as_text(path: &Path, model: &Model) -> String {
    let mut text = Text::default();
    source(&mut text, path, model);
    task(&mut text, model);
    trees(&mut text, model);
    features(&mut text, model);
    arithmetic(&mut text, model);
    if let Some(pipeline) = model.pipeline() {
        draw(&mut text, pipeline);
    }
    folded(&mut text, model);
    if !model.plan().kernels.is_empty() {
        text.section("plan");
        for line in model.plan().to_string().lines() {
            text.line(line);
        }
    }
    text.0
}

fn source(text: &mut Text, path: &Path, model: &Model) {
    let source = model.source();
    text.section(&path.display().to_string());
    text.entry("format", &source.format.map_or("built by hand".to_owned(), |format| format.to_string()));
    text.entry("producer", &source.producer);
    text.entry("blake3", &source.digest);
    for warning in &source.warnings {
        text.entry("warning", warning);
    }
}

fn task(text: &mut Text, model: &Model) {
    let schema = model.schema();
    text.section("task");
    text.entry("task", &name(&schema.task));
    text.entry("objective", if schema.objective.is_empty() { "(none named)" } else { &schema.objective });
    text.entry("outputs", &schema.n_outputs.to_string());
    if let Some(classes) = &schema.classes {
        text.entry("classes", &class_names(classes));
    }
    if let Some(best) = model.source().best_iteration {
        text.entry(
            "best iteration",
            &format!("{best}; predictions use all iterations, with --best-iteration those up to the best"),
        );
    }
}

/// The first few names of classes.
fn class_names(classes: &Classes) -> String {
    let mut names = classes.names();
    names.truncate(8);
    let more = if classes.len() > names.len() { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

fn trees(text: &mut Text, model: &Model) {
    let facts = model.facts();
    text.section("trees");
    if facts.trees == 0 {
        if model.pipeline().is_some() {
            text.entry("trees", "none; a pipeline");
            return;
        }
        text.entry("trees", if facts.linear_leaves > 0 { "none; a linear model" } else { "none" });
        return;
    }
    text.entry("trees", &format!("{} in {} iterations", facts.trees, facts.iterations));
    text.entry("splits", &facts.splits.to_string());
    text.entry("leaves", &format!("{}, at most {} in a tree", facts.leaves, facts.max_leaves));
    text.entry("depth", &format!("at most {}, {:.1} on average", facts.max_depth, facts.mean_depth));
    text.entry("cut points", &format!("at most {} for a feature", facts.max_cuts));
    if facts.category_splits > 0 {
        text.entry("categories", &format!("{} splits test for a set of categories", facts.category_splits));
    }
    if facts.zero_as_missing_splits > 0 {
        text.entry("missing", &format!("{} splits count zero as missing", facts.zero_as_missing_splits));
    }
    if facts.linear_leaves > 0 {
        text.entry("linear leaves", &format!("{} leaves hold a linear model", facts.linear_leaves));
    }
}

fn features(text: &mut Text, model: &Model) {
    let features = &model.schema().features;
    text.section("features");
    text.entry("features", &format!("{}, of which {} are used", features.len(), model.facts().features_used));
    if !features.iter().any(|feature| feature.name.is_some() || feature.kind != FeatureKind::Numeric) {
        text.entry("names", "none; all numeric, columns count by position");
        return;
    }
    let width = features.len().min(SHOWN_FEATURES).saturating_sub(1).to_string().len();
    for (at, feature) in features.iter().enumerate().take(SHOWN_FEATURES) {
        text.line(&format!("{at:>width$}  {}", feature_text(feature)));
    }
    if features.len() > SHOWN_FEATURES {
        text.line(&format!("… and {} more (all with --json)", features.len() - SHOWN_FEATURES));
    }
}

fn feature_text(feature: &Feature) -> String {
    let kind = match feature.kind {
        FeatureKind::Numeric => String::new(),
        kind => format!(" ({})", name(&kind)),
    };
    let categories = feature.categories.as_ref().map_or(String::new(), |categories| {
        let first: Vec<_> = categories.values().iter().take(SHOWN_CATEGORIES).map(ToString::to_string).collect();
        let more = if categories.values().len() > SHOWN_CATEGORIES { ", …" } else { "" };
        format!(": {}{more}", first.join(", "))
    });
    format!("{}{kind}{categories}", feature.name.as_deref().unwrap_or("(no name)"))
}

fn arithmetic(text: &mut Text, model: &Model) {
    let Some(forest) = model.forest() else { return };
    let profile = forest.profile();
    text.section("arithmetic");
    text.entry("input", &format!("rounded to {}", name(&profile.input)));
    text.entry("comparison", &format!("value {} threshold goes left", name(&profile.comparison)));
    text.entry("sum", &format!("{}, base score {}", name(&profile.sum), name(&profile.base)));
    text.entry("base score", &numbers(forest.base(), profile.sum));
    text.entry("link", &name(&forest.link()));
    if forest.aggregate() != Aggregate::Sum {
        text.entry("aggregate", &name(&forest.aggregate()));
    }
    if forest.labels() != Labels::None {
        text.entry("labels", &name(&forest.labels()));
    }
}

/// A pipeline: what comes in, each operator with what it reads and writes, what comes out.
fn draw(text: &mut Text, pipeline: &Pipeline) {
    text.section("pipeline");
    for input in &pipeline.inputs {
        text.line(&format!("→ {input}"));
    }
    let widths = pipeline.steps.iter().map(|step| step.operator.chars().count());
    let width = widths.max().unwrap_or(0).min(28);
    for (at, step) in pipeline.steps.iter().enumerate() {
        let branch = if at + 1 == pipeline.steps.len() { "└─" } else { "├─" };
        let detail = if step.detail.is_empty() { String::new() } else { format!("  ({})", step.detail) };
        let flow = format!("{} → {}", step.reads.join(", "), step.writes.join(", "));
        text.line(&format!("{branch} {:<width$}  {flow}{detail}", step.operator));
    }
    for output in &pipeline.outputs {
        text.line(&format!("← {output}"));
    }
}

/// What of a pipeline is in the thresholds of its trees.
fn folded(text: &mut Text, model: &Model) {
    let folded = &model.source().folded;
    if folded.is_empty() {
        return;
    }
    text.section("folded into the trees");
    folded.iter().for_each(|node| text.line(node));
    if model.pipeline().is_none() {
        text.line("Nothing else is left of the pipeline: it is these trees.");
    }
}

/// The first few numbers, as a sum of this type takes them.
fn numbers(values: &[f64], float: Float) -> String {
    let shown = |&value: &f64| match float {
        Float::F32 => format!("{:?}", value as f32),
        Float::F64 => format!("{value:?}"),
    };
    let first: Vec<_> = values.iter().take(8).map(shown).collect();
    let more = if values.len() > first.len() { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

/// What an enum is called in JSON, with its fields in parentheses: `sigmoid`, `scaled-sigmoid (scale 1.0)`.
fn name(item: &impl Serialize) -> String {
    match serde_json::to_value(item) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(variants)) => {
            variants.iter().map(|(name, fields)| format!("{name}{}", parameters(fields))).collect()
        }
        _ => String::new(),
    }
}

fn parameters(fields: &Value) -> String {
    let Some(fields) = fields.as_object() else { return String::new() };
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!(" ({})", fields.join(", "))
}

/// Sections of aligned entries. What a model file says is shown without control characters: it is not ours.
#[derive(Default)]
struct Text(String);

impl Text {
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\n\n");
        }
        self.0.push_str(&plain(title));
    }

    fn entry(&mut self, key: &str, value: &str) {
        self.line(&format!("{key:<14}  {value}"));
    }

    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "\n  {}", plain(line));
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
