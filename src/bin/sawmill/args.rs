//! What the user may write. Scripts rely on these names; they only grow.

use std::ops::Bound;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sawmill::{Format, InputCast, Isa, KernelKind, Model, ModelOptions, Output, Precision, Priority, Schema, Unseen};

/// Predict with tree-ensemble models on the CPU: the source library's own answers, to the bit.
///
/// Loads models that XGBoost saved as JSON, UBJSON or in its old binary format, LightGBM as text or JSON, Treelite
/// as checkpoints, CatBoost as JSON, and pipelines of scikit-learn as ONNX.
#[derive(Parser)]
#[command(name = "sawmill", version, arg_required_else_help = true, after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sawmill inspect model.json                       what the model is and how it will run
  sawmill predict model.json rows.csv              predictions as CSV on the terminal
  sawmill predict model.txt X.npy -o value.npy     arrays in, arrays out
  sawmill validate model.json                      does it compute right on this machine?
  sawmill bench model.json                         how fast is it on this machine?

Exit codes: 0 success, 1 bad model, rows or output, 2 wrong usage.
Help for one command: sawmill predict --help";

#[derive(Subcommand)]
pub enum Command {
    Predict(PredictArgs),
    Inspect(InspectArgs),
    Validate(ValidateArgs),
    Compile(CompileArgs),
    Bench(BenchArgs),
}

/// Predict rows and write the result.
#[derive(Args)]
#[command(after_long_help = PREDICT_EXAMPLES)]
pub struct PredictArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Rows: a .npy, .csv or .parquet file, or - for CSV on stdin
    ///
    /// .npy: two dimensions, float32 or float64, in C or Fortran order.
    ///
    /// .csv: comma-separated numbers. The first line is a header if any of its fields is not a number. With a header,
    /// and if the model names its features, columns are matched by name, in any order, and other columns are ignored;
    /// else by position. A field that is empty, NA, NaN or null is a missing value. Columns of categories hold the
    /// categories themselves if the model stores them, else their codes; arrays always hold codes.
    ///
    /// .parquet (in programs built with that feature): columns as in a .csv with a header; null is a missing value.
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,

    /// Where the predictions go: a .npy, .csv or .parquet file, or - for CSV on stdout
    ///
    /// One number per row makes an array of shape [n], several make [n, k]. Numbers have the type the model computes
    /// in (float32 for XGBoost, float64 for LightGBM); leaves and labels are int32, unless the model has names for its
    /// classes: labels are these then, and columns of scores are called after them. The file appears when it is complete.
    #[arg(short, long, display_order = 0, value_name = "OUT", default_value = "-", hide_default_value = true)]
    pub out: PathBuf,

    /// What to predict
    #[arg(long, display_order = 0, value_enum, value_name = "KIND", default_value_t = Kind::Value)]
    pub kind: Kind,

    /// Predict after every boosting round: [n, rounds], or [n, rounds, k]
    ///
    /// Each is what --iterations up to that round gives. For values, margins and labels.
    #[arg(long, display_order = 0, conflicts_with = "base_margin")]
    pub staged: bool,

    /// Margins to start from in place of the base score: a .npy or .csv file of [n] or [n, outputs] numbers
    ///
    /// XGBoost's base_margin. LightGBM predicts without: its init_score belongs to training.
    #[arg(long, display_order = 0, value_name = "FILE")]
    pub base_margin: Option<PathBuf>,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  sawmill predict model.json rows.csv                    values as CSV on stdout
  sawmill predict model.json X.npy -o value.npy          as numpy.save would write them
  sawmill predict model.txt rows.csv --kind leaf         the leaf every tree ends in
  sawmill predict model.json X.npy --iterations 0..50    the first 50 boosting rounds only
  sawmill predict model.json X.npy --staged -o s.npy     the value after every boosting round
  sawmill predict pipeline.onnx people.csv --kind label  columns by name, classes as the pipeline calls them
  sawmill predict model.onnx rows.csv --output scores    an output of the graph by its name
  zcat big.csv.gz | sawmill predict model.json - | head  CSV streams; memory stays bounded";

/// Show what a model is: its task, features, trees, arithmetic, and how it will run.
#[derive(Args)]
#[command(after_long_help = INSPECT_EXAMPLES)]
pub struct InspectArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// The model file's format; recognised by its content if not given
    #[arg(long, value_name = "NAME", value_parser = Format::from_name)]
    pub format: Option<Format>,

    /// Print one JSON object: source, schema, facts, arithmetic, plan
    #[arg(long)]
    pub json: bool,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  sawmill inspect model.json
  sawmill inspect model.json --json | jq .facts.trees";

/// Check a model on this machine, and against answers you have.
///
/// Exit codes: 0 healthy, 1 not healthy, 2 the model or a file cannot be loaded.
#[derive(Args)]
#[command(after_long_help = VALIDATE_EXAMPLES)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Rows to predict, to be compared with --expect: a .npy or .csv file, or - for CSV on stdin
    #[arg(long, value_name = "X", requires = "expect")]
    pub input: Option<PathBuf>,

    /// The right answers for --input: a .npy or .csv file, for instance the source library's own
    ///
    /// They must be equal to the bit, unless --tolerance is given. NaN equals NaN.
    #[arg(long, value_name = "Y", requires = "input")]
    pub expect: Option<PathBuf>,

    /// Accept |a - b| <= T * max(1, |b|), where b is the expected number
    #[arg(long, value_name = "T", requires = "expect", allow_hyphen_values = true, value_parser = tolerance)]
    pub tolerance: Option<f64>,

    /// What --expect holds
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Kind::Value)]
    pub kind: Kind,

    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
}

const VALIDATE_EXAMPLES: &str = "\
Examples:
  sawmill validate model.json
  sawmill validate model.json --input X.npy --expect value.npy
  sawmill validate model.txt --input rows.csv --expect margin.csv --kind margin --tolerance 1e-9";

/// Measure how fast a model predicts on this machine.
///
/// Answers are checked against the reference evaluator before anything is timed; no call sees the rows of the one
/// before it.
#[derive(Args)]
#[command(after_long_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Rows to draw batches from: a .npy or .csv file, or - for CSV on stdin
    ///
    /// If not given, rows are made up: values spread over the gaps between the model's own cut points, one in twenty
    /// missing.
    #[arg(value_name = "INPUT")]
    pub input: Option<PathBuf>,

    /// Numbers of rows to predict in one call
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,64,1024", value_parser = batch)]
    pub batch: Vec<usize>,

    /// How long to measure each batch size
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,

    /// Draw throughput and the distribution of times into an .svg file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,

    /// Measure an engine under load: workers (--threads), queue and batches, with requests from many clients
    #[arg(long, conflicts_with_all = ["batch", "plot"])]
    pub engine: bool,

    #[command(flatten)]
    pub load: EngineArgs,
}

/// The load on an engine.
#[derive(Args)]
#[command(next_help_heading = "Load, with --engine")]
pub struct EngineArgs {
    /// Threads that send requests
    #[arg(long, requires = "engine", value_name = "N", default_value_t = 8, value_parser = count)]
    pub clients: usize,

    /// Requests a second in all, or closed: each client waits for its answer before it asks again
    ///
    /// With a rate, requests are sent at random moments fixed in advance, and latency counts from these.
    #[arg(long, requires = "engine", value_name = "R|closed", default_value = "closed", value_parser = rate)]
    pub rate: Rate,

    /// Rows of a request
    #[arg(long, requires = "engine", value_name = "N", default_value_t = 1, value_parser = count)]
    pub rows: usize,

    /// Share of each priority: critical, high, normal, low
    #[arg(long, requires = "engine", value_name = "NAME=N,..", default_value = "normal=1", value_parser = priority_mix)]
    pub priority_mix: PriorityMix,

    /// Share of requests that ask for one of a few rows again
    #[arg(long, requires = "engine", value_name = "F", default_value_t = 0.0, value_parser = share)]
    pub repeat_fraction: f64,

    /// Requests that may be waiting or running; the next one is refused. The engine's own default if not given
    #[arg(long, requires = "engine", value_name = "N", value_parser = count)]
    pub max_in_flight: Option<usize>,

    /// Rows whose answers the engine keeps. None if not given
    #[arg(long, requires = "engine", value_name = "ROWS", value_parser = count)]
    pub cache: Option<usize>,
}

/// How often requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    Closed,
    PerSecond(f64),
}

impl Rate {
    pub fn per_second(self) -> Option<f64> {
        match self {
            Self::Closed => None,
            Self::PerSecond(rate) => Some(rate),
        }
    }
}

/// Weights by class, which sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorityMix([f64; Priority::ALL.len()]);

impl PriorityMix {
    /// The class at a point of the unit interval.
    pub fn at(&self, point: f64) -> Priority {
        let mut end = 0.0;
        let within = |share: &(Priority, f64)| {
            end += share.1;
            share.1 > 0.0 && point < end
        };
        let shares = Priority::ALL.into_iter().zip(self.0);
        shares
            .clone()
            .find(within)
            .or_else(|| shares.rev().find(|share| share.1 > 0.0))
            .map_or(Priority::Normal, |share| share.0)
    }

    /// The classes that have a share.
    pub fn shares(&self) -> impl Iterator<Item = (&'static str, f64)> {
        Priority::ALL
            .iter()
            .zip(self.0)
            .filter(|(_, share)| *share > 0.0)
            .map(|(priority, share)| (priority.name(), share))
    }
}

const BENCH_EXAMPLES: &str = "\
Examples:
  sawmill bench model.json --threads 1                  one thread, rows made up
  sawmill bench model.json X.npy --batch 1,16,256,4096  real rows, other batch sizes
  sawmill bench model.txt --seconds 5 --plot speed.svg  longer, with a chart
  sawmill bench model.txt --json | jq .results
  sawmill bench model.json --engine --clients 64 --rate 50000 --priority-mix critical=1,normal=8,low=1";

/// Write a model as it is in memory, to be loaded in milliseconds.
///
/// The other commands take the file in the model's place. It holds the model as the options here shape it; damage to it
/// is an error when it is loaded. It stays mapped while a model is in use: replace it, as this command does, but do not
/// write into it.
#[derive(Args)]
#[command(after_long_help = COMPILE_EXAMPLES)]
pub struct CompileArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// The file to write
    #[arg(short, long, value_name = "MODEL.saw")]
    pub out: PathBuf,
}

const COMPILE_EXAMPLES: &str = "\
Examples:
  sawmill compile model.json -o model.saw && sawmill predict model.saw X.npy
  sawmill compile model.json --best-iteration -o model.saw";

/// The model and how to load it.
#[derive(Args)]
pub struct ModelArgs {
    /// The model file
    #[arg(value_name = "MODEL")]
    pub path: PathBuf,

    /// The model file's format; recognised by its content if not given
    #[arg(long, value_name = "NAME", value_parser = Format::from_name)]
    pub format: Option<Format>,

    /// Threads to predict with; all cores if not given. The result is the same for any number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// A number that stands for a missing value, beside NaN
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub missing: Option<f64>,

    /// What a Treelite checkpoint's thresholds are compared with: none, values as they are; f32, values rounded to
    /// float32, as scikit-learn's forests do it
    #[arg(long, value_name = "TYPE", value_parser = input_cast)]
    pub input_cast: Option<InputCast>,

    /// Use the boosting rounds from A up to, not including, B: A..B, A.. or ..B, counted from 0
    #[arg(long, value_name = "A..B", value_parser = iterations)]
    pub iterations: Option<Iterations>,

    /// Use the boosting rounds up to the best one that early stopping recorded, as XGBoost's scikit-learn wrapper does
    ///
    /// Without it all rounds are used, as XGBoost's booster does. A file that records no best round is used whole.
    #[arg(long, conflicts_with = "iterations")]
    pub best_iteration: bool,

    /// Sum XGBoost's dropout trees as its inplace_predict up to 3.2 does, not as Booster.predict
    #[arg(long)]
    pub inplace_dropout: bool,

    /// What becomes of categories in a .csv that training did not see; as the source library has it if not given
    #[arg(long, value_enum, value_name = "WHAT")]
    pub unseen: Option<UnseenCategories>,

    /// A .csv holds the codes of categories, also where the model stores the categories themselves
    #[arg(long, conflicts_with = "unseen")]
    pub category_codes: bool,

    /// The output of an ONNX graph to predict; the last if not given, with --kind label the first
    #[arg(long = "output", value_name = "NAME")]
    pub graph_output: Option<String>,

    /// Force an instruction set; the best of this machine if not given
    #[arg(long, value_name = "NAME", value_parser = Isa::from_name)]
    pub isa: Option<Isa>,

    /// Force a kernel: circuit, row, tops, levels, values or walk; the fastest by reckoning if not given. The result is the same
    #[arg(long, value_name = "NAME", value_parser = KernelKind::from_name)]
    pub kernel: Option<KernelKind>,

    /// Measure kernels first and take the fastest for each size of a batch. The result is the same
    #[arg(long, conflicts_with = "kernel")]
    pub tune: bool,

    /// How exactly to keep leaves: exact, as the source library does, or f32, f16, int8 or int4; f32 makes models that
    /// sum in f64 smaller and faster, the others gain no more. validate tells how far off they are
    #[arg(long, value_name = "NAME", default_value = "exact", value_parser = Precision::from_name)]
    pub precision: Precision,
}

impl ModelArgs {
    /// Threads to predict with.
    pub fn n_threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    /// Loads the model to predict `kind`.
    pub fn load(&self, kind: Kind) -> Result<Model> {
        self.load_on(kind, self.n_threads())
    }

    /// Loads the model to predict `kind` on so many threads of its own.
    pub fn load_on(&self, kind: Kind, threads: usize) -> Result<Model> {
        let mut options =
            ModelOptions::default().output(kind.output()).precision(self.precision).threads(threads).tune(self.tune);
        if let Some(format) = self.format {
            options = options.format(format);
        }
        if let Some(isa) = self.isa {
            options = options.isa(isa);
        }
        if let Some(kernel) = self.kernel {
            options = options.kernel(kernel);
        }
        if let Some(missing) = self.missing {
            options = options.missing(missing);
        }
        if let Some(cast) = self.input_cast {
            options = options.input_cast(cast);
        }
        if let Some(range) = self.iterations {
            options = options.iterations(range);
        }
        if self.best_iteration {
            options = options.best_iteration();
        }
        if self.inplace_dropout {
            options = options.inplace_dropout();
        }
        if let Some(unseen) = self.unseen {
            options = options.unseen_categories(unseen.policy());
        }
        if let Some(name) = &self.graph_output {
            options = options.graph_output(name);
        }
        let model = options.load(&self.path)?;
        for warning in &model.source().warnings {
            crate::complain(&format!("warning: {}: {warning}", self.path.display()));
        }
        Ok(model)
    }

    /// The columns of the rows to read.
    pub fn rows_schema(&self, model: &Model) -> Schema {
        let mut schema = model.schema().clone();
        if self.category_codes {
            schema.features.iter_mut().for_each(|feature| feature.categories = None);
        }
        schema
    }
}

/// What becomes of a category that training did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnseenCategories {
    /// It is an error, as XGBoost has it
    Error,
    /// It is a missing value, as LightGBM has it
    Missing,
}

impl UnseenCategories {
    fn policy(self) -> Unseen {
        match self {
            Self::Error => Unseen::Error,
            Self::Missing => Unseen::Missing,
        }
    }
}

/// What a prediction holds, as the user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What the source library's plain predict returns
    Value,
    /// The raw score
    Margin,
    /// The class of a classifier
    Label,
    /// The leaf index per tree, as the source library numbers it
    Leaf,
    /// What every tree adds to the raw score: [n, trees], or [n, trees, k] for vector leaves
    TreeValue,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Margin => "margin",
            Self::Label => "label",
            Self::Leaf => "leaf",
            Self::TreeValue => "tree-value",
        }
    }

    fn output(self) -> Output {
        match self {
            Self::Value => Output::Value,
            Self::Margin => Output::Margin,
            Self::Label => Output::Label,
            Self::Leaf => Output::Leaf,
            Self::TreeValue => Output::TreeValues,
        }
    }
}

type Iterations = (Bound<usize>, Bound<usize>);

fn iterations(text: &str) -> Result<Iterations, String> {
    let form = || "write A..B, A.. or ..B, with whole numbers".to_owned();
    let (start, end) = text.split_once("..").ok_or_else(form)?;
    let number = |text: &str| match text {
        "" => Ok(None),
        digits => digits.parse::<usize>().map(Some).map_err(|_| form()),
    };
    match (number(start)?, number(end)?) {
        (None, None) => Err(form()),
        (start, Some(end)) if start.unwrap_or(0) >= end => Err("the range is empty".to_owned()),
        (start, end) => {
            Ok((start.map_or(Bound::Unbounded, Bound::Included), end.map_or(Bound::Unbounded, Bound::Excluded)))
        }
    }
}

fn input_cast(name: &str) -> Result<InputCast, String> {
    match name {
        "none" => Ok(InputCast::None),
        "f32" => Ok(InputCast::F32),
        _ => Err("known are: none, f32".to_owned()),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("not a number of at least 0".to_owned()),
    }
}

fn batch(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("not a number of rows of at least 1".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 3600.0 => Ok(number),
        _ => Err("not a number of seconds above 0 and up to 3600".to_owned()),
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=65_536) => Ok(n),
        _ => Err("not a number from 1 to 65536".to_owned()),
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    match text.parse::<f64>() {
        _ if text == "closed" => Ok(Rate::Closed),
        Ok(rate) if rate > 0.0 && rate <= 1e9 => Ok(Rate::PerSecond(rate)),
        _ => Err("neither a number of requests a second nor closed".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("not a number from 0 to 1".to_owned()),
    }
}

fn priority_mix(text: &str) -> Result<PriorityMix, String> {
    let mut weights = [0.0; Priority::ALL.len()];
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').ok_or("write critical=1,normal=8 and the like")?;
        let priority = Priority::from_name(name.trim()).ok_or_else(|| format!("no priority is called {name:?}"))?;
        match weight.trim().parse::<f64>() {
            Ok(weight) if weight >= 0.0 && weight.is_finite() => weights[priority as usize] += weight,
            _ => return Err(format!("not a weight: {weight:?}")),
        }
    }
    let sum: f64 = weights.iter().sum();
    match sum > 0.0 && sum.is_finite() {
        true => Ok(PriorityMix(weights.map(|weight| weight / sum))),
        false => Err("all weights are zero".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_mixed_by_weight() {
        let mix = priority_mix("low=3,critical=1").unwrap();
        assert_eq!(mix.shares().collect::<Vec<_>>(), [("critical", 0.25), ("low", 0.75)]);
        assert_eq!([0.0, 0.24, 0.25, 0.9999].map(|point| mix.at(point).name()), ["critical", "critical", "low", "low"]);
        for junk in ["", "low", "low=", "low=-1", "low=0", "urgent=1", "low=inf", "low=nan"] {
            assert!(priority_mix(junk).is_err(), "{junk}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn iteration_ranges() {
        use Bound::{Excluded, Included, Unbounded};
        assert_eq!(iterations("0..5"), Ok((Included(0), Excluded(5))));
        assert_eq!(iterations("5.."), Ok((Included(5), Unbounded)));
        assert_eq!(iterations("..5"), Ok((Unbounded, Excluded(5))));
        for junk in ["", "..", "5", "5..5", "7..3", "..0", "a..b", "-1..4", "0..=4", "0...4", "1..99999999999999999999"]
        {
            assert!(iterations(junk).is_err(), "{junk}");
        }
    }
}
