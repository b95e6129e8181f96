//! Compiled models (`.saw`): a model as it is in memory, to be mapped instead of parsed.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::options::ModelOptions;
use super::{Inner, Kind, Model};
use crate::error::{Error, Result};
use crate::ir::{Facts, Forest, Precision};
use crate::load::{Format, Iterations, Limits, Source, saw};
use crate::plan::{self, Compiled};
use crate::schema::Schema;
use crate::store::{Reader, SharedBytes, Stored, Writer, stored};

/// What a compiled model says of itself besides its trees.
pub(super) struct About {
    pub(super) source: Source,
    pub(super) schema: Schema,
    /// Whether leaves are those of [`ModelOptions::inplace_dropout`].
    pub(super) inplace_dropout: bool,
}

stored!(struct About { source, schema, inplace_dropout });

impl Model {
    /// Writes the model to a file that [`load`](Self::load) maps instead of parsing it: trees laid out for kernels of every
    /// instruction set, schema, source, all under checksums. Loaded again, the model answers every question with the
    /// same bits. Options that shape trees (iterations, dropout, input cast) are in it, other options are given when it
    /// is loaded.
    ///
    /// The file is put in its place when it is complete, so that models loaded from an older one stay sound. Loading one of
    /// 8 MB or more takes a second thread for the checksums while it lasts, where there is a second CPU.
    ///
    /// Cost: about that of loading the model from its source, without parsing.
    ///
    /// # Errors
    /// An I/O error; an unsupported error for a pipeline, for a predictor of the caller's own, and for a model that is not
    /// in exact precision: that is asked for when a compiled model is loaded.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let write = || {
            let file = self.to_saw()?;
            let mut part = path.as_os_str().to_owned();
            part.push(format!(".{}.part", std::process::id()));
            let written = fs::File::create(&part).and_then(|mut to| {
                to.write_all(&file)?;
                to.sync_all()
            });
            written.and_then(|()| fs::rename(&part, path)).map_err(|cause| {
                // What is left of it is of no use; that it cannot be removed matters less than the cause.
                let _ = fs::remove_file(&part);
                Error::io(cause)
            })
        };
        write().map_err(|error| error.at(path.display()))
    }

    /// The bytes of the file that [`save`](Self::save) writes.
    fn to_saw(&self) -> Result<Vec<u8>> {
        let inner = match &self.kind {
            Kind::Graph(_) => {
                return Err(Error::unsupported("a pipeline is not compiled: it is loaded from its ONNX file"));
            }
            Kind::Forest(inner) if inner.custom.is_some() => {
                return Err(Error::unsupported("a predictor of the caller's own is not compiled"));
            }
            Kind::Forest(inner) => inner,
        };
        if let Some(lossy) = &inner.lossy {
            let name = lossy.precision.name();
            return Err(Error::unsupported(format!(
                "a model in precision {name:?} is not compiled: ask for the precision when a compiled model is loaded"
            )));
        }
        let Inner { schema, source, forest, inplace_dropout, .. } = &**inner;
        let mut to = Writer::default();
        About { source: source.clone(), schema: schema.clone(), inplace_dropout: *inplace_dropout }.put(&mut to);
        inner.facts().put(&mut to);
        plan::put(forest, &mut to);
        Ok(saw::frame(&to.finish()))
    }
}

impl ModelOptions {
    /// A compiled model in `bytes`.
    pub(super) fn open(&self, bytes: SharedBytes) -> Result<Model> {
        let (content, digest) = saw::open(bytes)?;
        let mut from = Reader::new(content)?;
        let (about, facts) = <(About, Facts)>::get(&mut from)?;
        let compiled = Compiled::get(&mut from)?;
        from.finish()?;
        self.check(&about, &facts, &compiled.forest)?;
        let all = 0..compiled.forest.n_iterations();
        let is_linear = compiled.forest.is_linear_model();
        let mut asked = self.iterations.with_best(about.source.best_iteration.filter(|_| !is_linear));
        if about.source.format.is_some_and(Format::cuts_iterations_off) {
            asked = asked.clamped(all.end);
        }
        if is_linear && asked != Iterations::default() {
            return Err(Error::option("iterations asked of a linear model, which has none"));
        }
        let digest = Some(digest.to_hex().to_string());
        match asked.within(all.end)? {
            range if range == all && !self.tune && self.precision == Precision::Exact => {
                self.assemble(about, facts.into(), digest, None, |request| compiled.choose(request))
            }
            range => {
                let mut forest = compiled.forest;
                if range.start > 0 && about.source.format.is_some_and(Format::base_is_of_the_first) {
                    forest = forest.without_base();
                }
                let forest = forest.with_iterations(range);
                self.compile_forest(about, digest, forest)
            }
        }
    }

    /// That the parts fit together and are what the options ask for.
    fn check(&self, about: &About, facts: &Facts, forest: &Forest) -> Result<()> {
        let schema = &about.schema;
        let limits: &Limits = &self.limits;
        limits.features(forest.n_features() as u64)?;
        limits.outputs(forest.n_outputs() as u64)?;
        limits.trees(forest.n_trees())?;
        limits.nodes(facts.splits.saturating_add(facts.leaves))?;
        let same = (schema.n_features(), schema.n_outputs) == (forest.n_features(), forest.n_outputs());
        if !same || !facts.mean_depth.is_finite() {
            return Err(Error::invalid_model("a schema of another model"));
        }
        if self.input_cast.is_some() {
            return Err(Error::option("an input cast asked of a compiled model: compile it with that option"));
        }
        if self.graph_output.is_some() {
            return Err(Error::option("an output asked for by name of a model that is no ONNX graph"));
        }
        let may_matter = about.source.format.is_some_and(Format::is_xgboost);
        if self.inplace_dropout && may_matter && !about.inplace_dropout {
            return Err(Error::option("inplace_dropout asked of a compiled model: compile it with that option"));
        }
        Ok(())
    }
}
