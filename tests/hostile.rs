//! No file and no rows cause a panic, a hang, memory far beyond the file's size or a silent wrong number: what is not
//! a model is refused in one line that names the place.

mod common;
#[path = "common/survive.rs"]
mod survive;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::Case;
use ndarray::Array2;
use sawmill::{Format, Limits, Model, ModelOptions, Output, Rows};

/// A deterministic generator (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

fn file(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(path)).unwrap()
}

/// As [`survive::survives`], and memory of the load is in proportion to the file: at most 64 bytes for each of its
/// bytes and a megabyte.
fn survives(format: Format, bytes: &[u8], validate: bool) -> Result<bool, String> {
    let mut model = None;
    let load = || model = Some(Model::options().limits(survive::limits()).from_slice(format, bytes).is_ok());
    let memory = catch_unwind(AssertUnwindSafe(|| allocation_counter::measure(load).bytes_max));
    let memory = memory.map_err(|_| "a panic".to_owned())?;
    if memory > allowance(bytes) {
        return Err(format!("{} bytes of file, {memory} of memory", bytes.len()));
    }
    catch_unwind(|| survive::survives(format, bytes, validate)).unwrap_or_else(|_| Err("a panic".to_owned()))
}

/// Bytes of memory that loading these may take.
fn allowance(bytes: &[u8]) -> u64 {
    64 * bytes.len() as u64 + (1 << 20)
}

const ODD_NUMBERS: &[&str] = &[
    "-1",
    "2147483648",
    "9223372036854775807",
    "18446744073709551615",
    "1e400",
    "NaN",
    "nan",
    "-0",
    "\"\"",
    "",
    "0",
    "1",
    "-2147483648",
    "-9223372036854775808",
    "inf",
    "1E-400",
    "4294967295",
    "0.5",
    "[]",
    "{}",
];

fn is_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.')
}

/// One to three changes.
fn mutate(random: &mut Random, original: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..1 + random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let length = 1 + random.below(40.min(bytes.len() - at));
        match random.below(10) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => {
                bytes[at] = *random
                    .one_of(&[
                        b"{", b"}", b"[", b"]", b",", b":", b"\"", b"\n", b"=", b" ", b"\0", b"L", b"$", b"#", b"\\",
                    ])
                    .first()
                    .unwrap()
            }
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let copy = bytes[at..at + length].to_vec();
                bytes.splice(at..at, copy);
            }
            // A byte of the binary numbers and lengths.
            4 => bytes[at] = *random.one_of(&[&0u8, &1, &0x7f, &0x80, &0xff]),
            5 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len());
                let part = &other[from..(from + random.below(400)).min(other.len())];
                bytes.splice(at..at + length, part.iter().copied());
            }
            // A whole line or object member of its own is more often still a model.
            6 => {
                let end = bytes[at..]
                    .iter()
                    .position(|byte| matches!(byte, b'\n' | b','))
                    .map_or(bytes.len(), |n| at + n + 1);
                drop(bytes.drain(at..end));
            }
            _ => {
                if let Some(start) = bytes[at..].iter().position(|&byte| is_number(byte)).map(|n| at + n) {
                    let start = bytes[..start].iter().rposition(|&byte| !is_number(byte)).map_or(0, |n| n + 1);
                    let end =
                        bytes[start..].iter().position(|&byte| !is_number(byte)).map_or(bytes.len(), |n| start + n);
                    bytes.splice(start..end, random.one_of(ODD_NUMBERS).bytes());
                }
            }
        }
    }
    bytes
}

fn mutations_survive(format: Format, files: &[&str], count: usize) {
    let files: Vec<Vec<u8>> = files.iter().map(|path| file(path)).collect();
    let (mut loaded, mut failures) = (0, Vec::new());
    for seed in 0..count {
        let mut random = Random(seed as u64 * 1000);
        let bytes = mutate(&mut random, &files[seed % files.len()], &files);
        match survives(format, &bytes, seed % 8 == 0) {
            Ok(is_model) => loaded += usize::from(is_model),
            Err(failure) => failures.push(format!("seed {seed}: {failure}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
    println!("{format}: {loaded} of {count} mutations are models");
    assert!(loaded > count / 50 && loaded < count, "{loaded} of {count} mutations are models");
}

/// Changed files of each format; base files are small, so that a change often hits something that matters.
const MUTATIONS: usize = 10_000;

#[test]
fn mutated_xgboost_json() {
    let files = [
        "tie",
        "leaf_only",
        "odd_numbers",
        "linear_targets",
        "base_score_tiny",
        "v1_3_logistic",
        "v2_1_vector_leaves",
        "v3_1_category_names",
        "v3_4_categories",
        "v3_4_vector_leaves",
        "v3_4_expectiles",
        "v3_4_dart",
    ];
    let files = files.map(|case| format!("xgboost/{case}/model.json"));
    mutations_survive(Format::XgBoostJson, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_xgboost_ubjson() {
    let files = [
        "linear",
        "v1_7_base_score_tiny",
        "v1_7_categories",
        "v2_1_vector_leaves",
        "v3_0_snapshot",
        "v3_1_category_names",
        "v3_4_vector_leaves",
        "v3_4_dart",
    ];
    let files = files.map(|case| format!("xgboost/{case}/model.ubj"));
    mutations_survive(Format::XgBoostUbjson, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_xgboost_binary() {
    let files = [
        "v1_0_logistic/model.bin",
        "v1_0_logistic/snapshot.bin",
        "v1_3_dart/model.bin",
        "v1_3_linear_classes/model.bin",
        "v2_1_classes_parallel_trees/model.bin",
    ];
    let files = files.map(|file| format!("xgboost/{file}"));
    mutations_survive(Format::XgBoostBinary, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_lightgbm_text() {
    let files = [
        "tie",
        "leaf_only",
        "tiny_threshold",
        "odd_leaves",
        "v2_3_forest",
        "v2_3_multiclass",
        "v2_3_zero_as_missing",
        "v3_3_carriage_returns",
        "v3_3_linear_leaves",
        "v4_0_categories",
    ];
    let files = files.map(|case| format!("lightgbm/{case}/model.txt"));
    mutations_survive(Format::LightGbmText, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn forests_of_any_bytes_are_refused_or_right() {
    let mut forests = 0;
    for seed in 0..1000 {
        let mut random = Random(seed);
        let bytes: Vec<u8> = (0..random.below(1500)).map(|_| random.next() as u8).collect();
        let survived = catch_unwind(|| survive::kernels_equal_the_reference(&bytes));
        let is_forest = survived.unwrap_or_else(|_| Err("a panic".to_owned()));
        forests += usize::from(is_forest.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")));
    }
    assert!((200..1000).contains(&forests), "{forests} of 1000 are forests");
}

/// What fuzzing found stays mended: `fuzz/finds/TARGET/` holds the bytes.
#[test]
fn finds_of_the_fuzzer_stay_mended() {
    let finds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/finds");
    let mut replayed = 0;
    for target in fs::read_dir(finds).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for find in fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = fs::read(&find).unwrap();
            let outcome = match target.file_name().unwrap().to_str().unwrap() {
                "xgboost_json" => survives(Format::XgBoostJson, &bytes, true),
                "xgboost_ubjson" => survives(Format::XgBoostUbjson, &bytes, true),
                "xgboost_binary" => survives(Format::XgBoostBinary, &bytes, true),
                "lightgbm_text" => survives(Format::LightGbmText, &bytes, true),
                "lightgbm_json" => survives(Format::LightGbmJson, &bytes, true),
                "treelite" => survives(Format::Treelite, &bytes, true),
                "onnx" => survives(Format::Onnx, &bytes, true),
                "catboost_json" => survives(Format::CatBoostJson, &bytes, true),
                "sklearn_json" => survives(Format::SklearnJson, &bytes, true),
                "any_format" => match Format::detect(&bytes) {
                    Ok(format) => survives(format, &bytes, true),
                    Err(error) => survive::is_plain(&error).map(|()| false),
                },
                "kernel_vs_reference" => survive::kernels_equal_the_reference(&bytes),
                other => panic!("no target {other}"),
            };
            outcome.unwrap_or_else(|failure| panic!("{}: {failure}", find.display()));
            replayed += 1;
        }
    }
    assert!(replayed > 0);
}

#[test]
fn mutated_lightgbm_json() {
    let files =
        ["leaf_only", "zero_as_missing", "category_names", "linear_leaves", "forest_classes", "v2_3_categories"];
    let files = files.map(|case| format!("lightgbm/{case}/model.json"));
    mutations_survive(Format::LightGbmJson, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_treelite() {
    let files = [
        "operators",
        "xgboost_vector_leaves",
        "xgboost_categories",
        "sklearn_uneven_targets",
        "v3_9_xgboost_binary",
        "v3_9_sklearn_forest",
    ];
    let files = files.map(|case| format!("treelite/{case}/model.tl"));
    mutations_survive(Format::Treelite, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_catboost_json() {
    let files = ["scaled", "poisson", "depth_wise", "leaf_wise_classes", "multi_label"];
    let files = files.map(|case| format!("catboost/{case}/model.json"));
    mutations_survive(Format::CatBoostJson, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_sklearn_json() {
    let files = ["boosting_exponential", "histogram_categories", "random_forest", "isolation_forest", "decision_tree"];
    let files = files.map(|case| format!("sklearn/{case}/model.json"));
    mutations_survive(Format::SklearnJson, &files.each_ref().map(String::as_str), MUTATIONS);
}

#[test]
fn mutated_compiled_models() {
    let files = [
        "xgboost/breast_cancer/model.json",
        "xgboost/category_names/model.json",
        "xgboost/vector_leaves/model.json",
        "xgboost/linear/model.json",
        "lightgbm/category_sets/model.txt",
        "lightgbm/linear_leaves/model.txt",
        "lightgbm/zero_as_missing/model.txt",
        "catboost/wine/model.json",
    ];
    let folder = tempfile::TempDir::new().unwrap();
    let compiled = files.map(|path| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(path);
        let few = Model::options().iterations(..3).load(&file).or_else(|_| Model::load(&file)).unwrap();
        few.save(folder.path().join("model.saw")).unwrap();
        fs::read(folder.path().join("model.saw")).unwrap()
    });
    let (mut loaded, mut failures) = (0, Vec::new());
    for seed in 0..MUTATIONS {
        let mut random = Random(seed as u64 * 1000);
        let original = &compiled[seed % compiled.len()];
        let mut bytes = original.clone();
        let start = survive::saw_content(&bytes);
        for _ in 0..1 + random.below(3) {
            let at = start + random.below(bytes.len() - start);
            let end = (at + 1 + random.below(8)).min(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = [0, 1, 127, 128, 255][random.below(5)],
                2 => bytes[at..end].fill([0, 255][random.below(2)]),
                _ => {
                    let from = start + random.below(bytes.len() - (end - at) - start);
                    bytes.copy_within(from..from + (end - at), at);
                }
            }
        }
        // The checksums find every such change; what is behind them has to find those that matter.
        if bytes != *original {
            assert!(!survives(Format::XgBoostJson, &bytes, false).unwrap(), "seed {seed}: damage that is not found");
        }
        match survives(Format::XgBoostJson, &survive::with_checksums(bytes), false) {
            Ok(is_model) => loaded += usize::from(is_model),
            Err(failure) => failures.push(format!("seed {seed}: {failure}")),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(20)].join("\n"));
    assert!(loaded > MUTATIONS / 50 && loaded < MUTATIONS, "{loaded} of {MUTATIONS} mutations are models");
}

#[test]
fn mutated_onnx() {
    let files = [
        "k17_votes_logistic",
        "k20_chain",
        "k20_member_wide",
        "k27_three_softmax_zero",
        "mixed_logistic_names",
        "mixed_forest",
        "numbers_only",
        "words_logistic",
        "KNeighborsRegressor",
        "KNNImputer",
        "SVC_multi",
        "GaussianMixture",
        "OneVsOneClassifier",
        "IsolationForest",
    ];
    let files = files.map(|case| format!("onnx/{case}.onnx"));
    mutations_survive(Format::Onnx, &files.each_ref().map(String::as_str), MUTATIONS);
}

/// Small files whose nodes would make much of little: each is refused before memory is taken.
#[test]
fn graphs_that_grow_are_refused() {
    let bytes = file("onnx/KNNImputer.onnx");
    let mut refused = 0;
    for (at, window) in bytes.windows(8).enumerate() {
        // Counts and sizes among the constants, one by one, made large.
        let small = i64::from_le_bytes(window.try_into().unwrap());
        if (1..=4).contains(&small) {
            let mut changed = bytes.clone();
            changed[at..at + 8].copy_from_slice(&(1i64 << 40).to_le_bytes());
            refused +=
                usize::from(!survives(Format::Onnx, &changed, false).unwrap_or_else(|error| panic!("{at}: {error}")));
        }
    }
    assert!(refused > 3, "{refused} refused");
}

#[test]
fn a_file_cut_short_is_never_a_model() {
    let check = |format: Format, path: &str, end: usize, step: usize, bytes: &[u8]| {
        for cut in (0..end).step_by(step).chain(end.saturating_sub(60)..end) {
            match Model::options().from_slice(format, &bytes[..cut]) {
                Ok(_) => panic!("{path} cut at {cut} of {} is a model", bytes.len()),
                Err(error) => survive::is_plain(&error).unwrap(),
            }
        }
    };
    for (case, step) in
        [("tie", 1), ("leaf_only", 3), ("iris", 409), ("vector_leaves", 83), ("category_sets", 503), ("linear", 1)]
    {
        let path = format!("xgboost/{case}/model.json");
        let bytes = file(&path);
        check(Format::XgBoostJson, &path, bytes.trim_ascii_end().len(), step, &bytes);
    }
    for (case, step) in
        [("linear", 1), ("breast_cancer", 307), ("iris", 401), ("vector_leaves", 61), ("category_sets", 409)]
    {
        let path = format!("xgboost/{case}/model.ubj");
        let bytes = file(&path);
        check(Format::XgBoostUbjson, &path, bytes.len(), step, &bytes);
    }
    for (case, step) in [("v1_0_logistic", 7), ("v1_3_dart", 53), ("v1_3_linear_classes", 1), ("v1_7_poisson", 53)] {
        let path = format!("xgboost/{case}/model.bin");
        let bytes = file(&path);
        check(Format::XgBoostBinary, &path, bytes.len(), step, &bytes);
    }
    for (case, step) in [("leaf_only", 1), ("v4_0_linear_leaves", 101), ("category_names", 211)] {
        let path = format!("lightgbm/{case}/model.json");
        let bytes = file(&path);
        check(Format::LightGbmJson, &path, bytes.len(), step, &bytes);
    }
    for (case, step) in [("decision_tree", 7), ("histogram_categories", 101)] {
        let path = format!("sklearn/{case}/model.json");
        let bytes = file(&path);
        check(Format::SklearnJson, &path, bytes.trim_ascii_end().len(), step, &bytes);
    }
    for (case, step) in [("scaled", 37), ("depth_wise", 89)] {
        let path = format!("catboost/{case}/model.json");
        let bytes = file(&path);
        check(Format::CatBoostJson, &path, bytes.len(), step, &bytes);
    }
    for (case, step) in
        [("operators", 1), ("xgboost_categories", 97), ("sklearn_uneven_targets", 61), ("v3_9_sklearn_forest", 101)]
    {
        let path = format!("treelite/{case}/model.tl");
        let bytes = file(&path);
        check(Format::Treelite, &path, bytes.len(), step, &bytes);
    }
    for (case, step) in [("leaf_only", 1), ("tie", 5), ("wine", 103), ("category_sets", 97), ("breast_cancer", 211)] {
        let path = format!("lightgbm/{case}/model.txt");
        let bytes = file(&path);
        let ending = b"end of trees";
        let end = bytes.windows(ending.len()).position(|window| window == ending).unwrap() + ending.len();
        check(Format::LightGbmText, &path, end, step, &bytes);
        assert!(Model::options().from_slice(Format::LightGbmText, &bytes[..end]).is_ok(), "{path}: whole");
    }
}

/// A small model: feature 1 below 0.5 gives 1, else 2.
const XGBOOST: &str = r#"{"learner":{"attributes":{},"feature_names":[],"feature_types":[],"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},"iteration_indptr":[0,1],"tree_info":[0],"trees":[{"base_weights":[0,0,0],"categories":[],"categories_nodes":[],"categories_segments":[],"categories_sizes":[],"default_left":[1,0,0],"id":0,"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_conditions":[5E-1,1E0,2E0],"split_indices":[1,0,0],"split_type":[0,0,0],"tree_param":{"num_nodes":"3","size_leaf_vector":"1"}}]},"name":"gbtree"},"learner_model_param":{"base_score":"[0E0]","num_class":"0","num_feature":"2","num_target":"1"},"objective":{"name":"reg:squarederror"}},"version":[3,2,0]}"#;

/// The same as a tree of two splits; the second one of categories 1 and 33.
const LIGHTGBM: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\nobjective=regression\nfeature_names=a b\nfeature_infos=[0:1] 1:33\ntree_sizes=300\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nsplit_gain=1 1\nthreshold=0.5 0\ndecision_type=2 1\nleft_child=-1 -2\nright_child=1 -3\nleaf_value=1 2 3\ncat_boundaries=0 2\ncat_threshold=2 2\nis_linear=0\nshrinkage=1\n\n\nend of trees\n\nfeature_importances:\na=1\n\nparameters:\nend of parameters\n";

/// `text` with each first string, which it must have exactly once, replaced by the second.
fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    text
}

fn xgboost(edits: &[(&str, &str)]) -> sawmill::Result<Model> {
    Model::options().from_slice(Format::XgBoostJson, edited(XGBOOST, edits).as_bytes())
}

fn lightgbm(edits: &[(&str, &str)]) -> sawmill::Result<Model> {
    Model::options().from_slice(Format::LightGbmText, edited(LIGHTGBM, edits).as_bytes())
}

fn refusal(model: sawmill::Result<Model>) -> String {
    match model {
        Ok(_) => "loaded".to_owned(),
        Err(error) => survive::is_plain(&error).map_or_else(|odd| odd, |()| error.to_string()),
    }
}

type Edits<'a> = &'a [(&'a str, &'a str)];

/// Every edit must be refused with its text.
fn refuses(load: fn(Edits<'_>) -> sawmill::Result<Model>, cases: &[(Edits<'_>, &str)]) {
    let found: Vec<_> = cases.iter().map(|(edits, _)| refusal(load(edits))).collect();
    let wrong = found.iter().zip(cases).filter(|(found, case)| *found != case.1);
    let wrong: Vec<_> =
        wrong.map(|(found, case)| format!("{:?}\n  found    {found}\n  expected {}", case.0, case.1)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_small_models_are_models() {
    let model = xgboost(&[]).unwrap();
    assert_eq!(model.predict(&[0.0f32, 0.0, 0.0, 1.0]).unwrap().to_f64(), [1.0, 2.0]);
    let model = lightgbm(&[]).unwrap();
    assert_eq!(model.predict(&[0.0, 0.0, 1.0, 33.0, 1.0, 2.0]).unwrap().to_f64(), [1.0, 2.0, 3.0]);
}

const LEFT: &str = "\"left_children\":[1,-1,-1]";
const RIGHT: &str = "\"right_children\":[2,-1,-1]";
const PARAM: &str = "\"num_class\":\"0\",\"num_feature\":\"2\",\"num_target\":\"1\"";

#[test]
fn xgboost_topology() {
    refuses(
        xgboost,
        &[
            (
                &[("\"default_left\":[1,0,0]", "\"default_left\":[1,0,-1]")],
                "tree 0: default_left is -1, neither 0 nor 1",
            ),
            (&[(LEFT, "\"left_children\":[0,-1,-1]")], "tree 0, node 0: reached twice: a cycle or a shared child"),
            (&[(LEFT, "\"left_children\":[2,-1,-1]")], "tree 0, node 2: reached twice: a cycle or a shared child"),
            (&[(LEFT, "\"left_children\":[3,-1,-1]")], "tree 0, node 3: no such node, the tree has 3"),
            (&[(LEFT, "\"left_children\":[-2,-1,-1]")], "tree 0, node 0: child -2 of a node that is no leaf"),
            (&[(RIGHT, "\"right_children\":[-1,-1,-1]")], "tree 0, node 0: child -1 of a node that is no leaf"),
            (&[(LEFT, "\"left_children\":[]")], "tree 0: right_children has 3 entries, left_children 0"),
            (
                &[(LEFT, "\"left_children\":[2147483648,-1,-1]")],
                "tree 0: byte 364: \"2147483648\" is not a number of the kind expected",
            ),
            (
                &[(LEFT, "\"left_children\":[1.5,-1,-1]")],
                "tree 0: byte 364: \"1.5\" is not a number of the kind expected",
            ),
            (
                &[("\"split_indices\":[1,0,0]", "\"split_indices\":[2,0,0]")],
                "tree 0, node 0: feature 2, but the model declares 2",
            ),
            (&[("\"split_indices\":[1,0,0]", "\"split_indices\":[-1,0,0]")], "tree 0, node 0: feature -1"),
            (&[("[5E-1,1E0,2E0]", "[NaN,1E0,2E0]")], "tree 0, node 0: the threshold is NaN"),
            (
                &[("[5E-1,1E0,2E0]", "[-nan,1E0,2E0]")],
                "tree 0: byte 420: \"-nan\" is not a number of the kind expected",
            ),
            (
                &[("[5E-1,1E0,2E0]", "[-inf,1E0,2E0]")],
                "tree 0: byte 420: \"-inf\" is not a number of the kind expected",
            ),
            (&[("\"id\":0", "\"id\":1")], "tree 0: byte 346: id 1 where 0 is expected"),
            (&[("\"id\":0", "\"id\":\"0\"")], "tree 0: byte 345: found '\"' where a number is expected"),
        ],
    );
}

#[test]
fn xgboost_sizes() {
    refuses(
        xgboost,
        &[
            (&[(PARAM, "\"num_feature\":\"2147483648\"")], "2147483648 features, but the limit is 4194304"),
            (&[(PARAM, "\"num_feature\":\"-1\"")], "byte 615: num_feature is \"-1\", not a count"),
            (
                &[(PARAM, "\"num_feature\":\"18446744073709551616\"")],
                "byte 633: num_feature is \"18446744073709551616\", not a count",
            ),
            (
                &[(PARAM, "\"num_feature\":\"2\",\"num_class\":\"2147483648\"")],
                "2147483648 outputs, but the limit is 65536",
            ),
            (
                &[(PARAM, "\"num_feature\":\"2\",\"num_target\":\"2147483648\"")],
                "2147483648 outputs, but the limit is 65536",
            ),
            (&[(PARAM, "\"num_feature\":\"2\",\"num_target\":\"-3\"")], "byte 632: num_target is \"-3\", not a count"),
            (
                &[(PARAM, "\"num_feature\":\"2\",\"num_class\":\"3\",\"num_target\":\"2\"")],
                "num_class is 3 and num_target 2: not both",
            ),
            (
                &[("\"num_parallel_tree\":\"1\"", "\"num_parallel_tree\":\"2147483648\"")],
                "2147483648 trees, but the limit is 1048576",
            ),
            (
                &[("\"num_parallel_tree\":\"1\"", "\"num_parallel_tree\":\"-1\"")],
                "byte 141: num_parallel_tree is \"-1\", not a count",
            ),
            (
                &[("\"iteration_indptr\":[0,1],", ""), ("\"num_parallel_tree\":\"1\"", "\"num_parallel_tree\":\"3\"")],
                "1 trees do not make whole iterations of 3",
            ),
            (
                &[("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"2147483648\"")],
                "tree 0: 3 values for 2 leaves of 2147483648",
            ),
            (
                &[("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"18446744073709551615\"")],
                "tree 0: 3 values for 2 leaves of 18446744073709551615",
            ),
            (
                &[("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"-1\"")],
                "tree 0: byte 532: size_leaf_vector is \"-1\", not a count",
            ),
            (&[("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"2\"")], "tree 0: 3 values for 2 leaves of 2"),
            (&[("\"feature_names\":[]", "\"feature_names\":[\"a\"]")], "1 feature_names, but num_feature is 2"),
            (
                &[("\"feature_types\":[]", "\"feature_types\":[\"c\",\"q\",\"c\"]")],
                "3 feature_types, but num_feature is 2",
            ),
        ],
    );
}

#[test]
fn xgboost_categories() {
    const NODES: &str = "\"categories\":[],\"categories_nodes\":[],\"categories_segments\":[],\"categories_sizes\":[]";
    const KIND: (&str, &str) = ("\"split_type\":[0,0,0]", "\"split_type\":[1,0,0]");
    let lists = |text: &'static str| (NODES, text);
    refuses(
        xgboost,
        &[
            (&[KIND], "tree 0, node 0: a category split without categories"),
            (&[(NODES, "\"a\":0"), KIND], "tree 0, node 0: a category split without categories"),
            (&[("\"split_type\":[0,0,0]", "\"split_type\":[1]")], "tree 0: split_type has 1 entries, left_children 3"),
            (
                &[
                    lists(
                        "\"categories\":[1,2],\"categories_nodes\":[0],\"categories_segments\":[1],\"categories_sizes\":[2]",
                    ),
                    KIND,
                ],
                "tree 0, node 0: categories 1.. of number 2, but there are 2",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1],\"categories_nodes\":[0],\"categories_segments\":[9223372036854775807],\"categories_sizes\":[1]",
                    ),
                    KIND,
                ],
                "tree 0, node 0: categories 9223372036854775807.. of number 1, but there are 1",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1],\"categories_nodes\":[0],\"categories_segments\":[-1],\"categories_sizes\":[1]",
                    ),
                    KIND,
                ],
                "tree 0, node 0: categories -1.. of number 1, but there are 1",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1],\"categories_nodes\":[0],\"categories_segments\":[0],\"categories_sizes\":[-1]",
                    ),
                    KIND,
                ],
                "tree 0, node 0: categories 0.. of number -1, but there are 1",
            ),
            (
                &[
                    lists(
                        "\"categories\":[-5],\"categories_nodes\":[0],\"categories_segments\":[0],\"categories_sizes\":[1]",
                    ),
                    KIND,
                ],
                "tree 0, node 0: a negative category",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1],\"categories_nodes\":[7],\"categories_segments\":[0],\"categories_sizes\":[1]",
                    ),
                    KIND,
                ],
                "tree 0: categories_nodes names node 7 of 3",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1],\"categories_nodes\":[-1],\"categories_segments\":[0],\"categories_sizes\":[1]",
                    ),
                    KIND,
                ],
                "tree 0: categories_nodes names node -1 of 3",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1],\"categories_nodes\":[0],\"categories_segments\":[],\"categories_sizes\":[1]",
                    ),
                    KIND,
                ],
                "tree 0: 1 categories_nodes, but 0 categories_segments and 1 categories_sizes",
            ),
            (
                &[
                    lists(
                        "\"categories\":[1,2],\"categories_nodes\":[0,1],\"categories_segments\":[0,0],\"categories_sizes\":[2,2]",
                    ),
                    KIND,
                ],
                "tree 0: categories_sizes add up to more than the 2 categories",
            ),
        ],
    );
}

#[test]
fn xgboost_header() {
    let score = |text: &'static str| ("\"[0E0]\"", text);
    const TARGETS: (&str, &str) = (PARAM, "\"num_feature\":\"2\",\"num_target\":\"3\"");
    const INDPTR: &str = "\"iteration_indptr\":[0,1]";
    const NAME: &str = "\"name\":\"gbtree\"";
    refuses(
        xgboost,
        &[
            (&[score("\"[0,0]\"")], "base_score has 2 values, but the model has 1 outputs"),
            (&[score("\"[]\"")], "base_score has 0 values, but the model has 1 outputs"),
            (&[score("\"\"")], "base_score has 0 values, but the model has 1 outputs"),
            (&[score("\"[1,2]\""), TARGETS], "base_score has 2 values, but the model has 3 outputs"),
            (&[score("\"nan\"")], "base_score \"nan\" is not a number or a list of numbers"),
            (&[score("NaN")], "base_score \"NaN\" is not a number or a list of numbers"),
            (&[score("\"[inf]\"")], "base_score \"[inf]\" is not a number or a list of numbers"),
            (&[score("\"1e400\"")], "base_score \"1e400\" is not a number or a list of numbers"),
            (&[score("\"half\"")], "base_score \"half\" is not a number or a list of numbers"),
            (&[score("null")], "base_score \"null\" is not a number or a list of numbers"),
            (&[score("[0]")], "byte 591: found ']' where ',' or '}' is expected"),
            (&[score("\"[2]\""), ("reg:squarederror", "binary:logistic")], "base_score 2 is no probability"),
            (
                &[score("\"[-1]\""), ("reg:squarederror", "count:poisson")],
                "base_score -1 must be positive for a log link",
            ),
            (&[("\"tree_info\":[0]", "\"tree_info\":[1]")], "tree 0: adds to output 1, but the model has 1"),
            (&[("\"tree_info\":[0]", "\"tree_info\":[-1]")], "tree 0: adds to output -1"),
            (
                &[("\"tree_info\":[0]", "\"tree_info\":[2147483648]")],
                "byte 196: \"2147483648\" is not a number of the kind expected",
            ),
            (&[("\"tree_info\":[0]", "\"tree_info\":[]")], "tree_info has 0 entries for 1 trees"),
            (&[("\"tree_info\":[0]", "\"tree_info\":[0,0]")], "tree_info has 2 entries for 1 trees"),
            (&[(INDPTR, "\"iteration_indptr\":[]")], "iteration_indptr does not count up from 0 to 1"),
            (&[(INDPTR, "\"iteration_indptr\":[0]")], "iteration_indptr does not count up from 0 to 1"),
            (&[(INDPTR, "\"iteration_indptr\":[1]")], "iteration_indptr does not count up from 0 to 1"),
            (&[(INDPTR, "\"iteration_indptr\":[0,-1]")], "iteration_indptr does not count up from 0 to 1"),
            (
                &[(INDPTR, "\"iteration_indptr\":[0,2]")],
                "the boosting iterations do not end at tree 1 in ascending order",
            ),
            (
                &[(INDPTR, "\"iteration_indptr\":[0,2,1]")],
                "the boosting iterations do not end at tree 1 in ascending order",
            ),
            (
                &[(INDPTR, "\"iteration_indptr\":[0,9223372036854775807]")],
                "the boosting iterations do not end at tree 1 in ascending order",
            ),
            (&[(NAME, "\"name\":\"gbtree\",\"weight_drop\":[1,1]")], "weight_drop has 2 entries for 1 trees"),
            (&[(NAME, "\"name\":\"forest\"")], "booster \"forest\" is not supported"),
            (&[(NAME, "\"a\":0")], "the model has no gradient_booster.name"),
            (&[("reg:squarederror", "reg:other")], "objective \"reg:other\" is not supported"),
            (&[("\"name\":\"reg:squarederror\"", "")], "the model has no objective.name"),
        ],
    );
    let long = "x".repeat(100_000);
    for name in ["gbtree\"", "reg:squarederror", "[0E0]"] {
        let text = refusal(xgboost(&[(name, &name.replace(char::is_alphanumeric, &long[..50_000]))]));
        assert!(!text.starts_with("an odd error") && text != "loaded", "{}", &text[..200.min(text.len())]);
    }
}

#[test]
fn a_key_twice_is_no_model() {
    let trees = &XGBOOST[XGBOOST.find("\"trees\":").unwrap()..XGBOOST.find("},\"name\":\"gbtree\"").unwrap()];
    let model = &XGBOOST[XGBOOST.find("\"model\":").unwrap()..XGBOOST.find(",\"name\":\"gbtree\"").unwrap()];
    let twice = |part: &str| refusal(xgboost(&[(part, &format!("{part},{part}"))]));
    for (part, key) in [
        (LEFT, "left_children"),
        ("\"categories\":[]", "categories"),
        ("\"tree_info\":[0]", "tree_info"),
        ("\"base_score\":\"[0E0]\"", "base_score"),
        ("\"name\":\"reg:squarederror\"", "name"),
        ("\"version\":[3,2,0]", "version"),
    ] {
        let text = twice(part);
        assert!(text.ends_with(&format!("key \"{key}\" twice in one object")), "{key}: {text}");
    }
    for part in [trees, model] {
        assert!(twice(part).ends_with(": a second list of trees"), "{}", twice(part));
    }
    // Keys of different objects that fill in the same thing.
    let both = XGBOOST
        .replace(",\"name\":\"gbtree\"", &format!(",\"name\":\"dart\",\"gbtree\":{{{model},\"name\":\"gbtree\"}}"));
    let both = refusal(Model::options().from_slice(Format::XgBoostJson, both.as_bytes()));
    assert!(both.ends_with(": a second list of trees"), "{both}");
    let weights = edited(
        XGBOOST,
        &[
            (",\"name\":\"gbtree\"", ",\"name\":\"gbtree\",\"weight_drop\":[2]"),
            ("\"tree_info\"", "\"weight_drop\":[2],\"tree_info\""),
        ],
    );
    let weights = refusal(Model::options().from_slice(Format::XgBoostJson, weights.as_bytes()));
    assert!(weights.ends_with(": a second weight_drop"), "{weights}");
}

#[test]
fn lightgbm_topology() {
    refuses(
        lightgbm,
        &[
            (&[("shrinkage=1\n", "shrinkage=\0\n")], "tree 0: line 25: not UTF-8 text"),
            (
                &[("shrinkage=1\n", "shrinkage=1\nnum_leaves=3\n")],
                "tree 0: line 26: num_leaves: twice: a \"Tree=\" line is lost",
            ),
            (&[("right_child=1 -3", "right_child=0 -3")], "tree 0, node 0: reached twice: a cycle or a shared child"),
            (&[("right_child=1 -3", "right_child=1 -2")], "tree 0, node 3: reached twice: a cycle or a shared child"),
            (&[("right_child=1 -3", "right_child=2 -3")], "tree 0, node 0: child 2, but the tree has 2 splits"),
            (&[("right_child=1 -3", "right_child=1 -4")], "tree 0, node 1: leaf 3, but the tree has 3"),
            (
                &[("right_child=1 -3", "right_child=1 -2147483648")],
                "tree 0, node 1: leaf 2147483647, but the tree has 3",
            ),
            (
                &[("right_child=1 -3", "right_child=1 2147483648")],
                "tree 0: line 20: right_child: \"2147483648\" is not a number of the kind expected",
            ),
            (&[("split_feature=0 1", "split_feature=0 2")], "tree 0, node 1: feature 2, but the model declares 2"),
            (&[("split_feature=0 1", "split_feature=0 -1")], "tree 0, node 1: feature -1"),
            (
                &[("split_feature=0 1", "split_feature=0 9223372036854775807")],
                "tree 0, node 1: feature 9223372036854775807",
            ),
            (
                &[("split_feature=0 1", "split_feature=0")],
                "tree 0: split_feature has 1 entries, but 2 splits need as many",
            ),
            (&[("threshold=0.5 0", "threshold=nan 0")], "tree 0, node 0: the threshold is NaN"),
            (&[("threshold=0.5 0", "threshold=0.5 1")], "tree 0, node 1: category set 1, but the tree has 1"),
            (&[("threshold=0.5 0", "threshold=0.5 0.5")], "tree 0, node 1: category set 0.5, but the tree has 1"),
            (&[("threshold=0.5 0", "threshold=0.5 -1")], "tree 0, node 1: category set -1, but the tree has 1"),
            (&[("threshold=0.5 0", "threshold=0.5 1e400")], "tree 0, node 1: category set inf, but the tree has 1"),
            (&[("threshold=0.5 0", "threshold=0.5 nan")], "tree 0, node 1: category set NaN, but the tree has 1"),
            (&[("decision_type=2 1", "decision_type=12 1")], "tree 0, node 0: decision_type 12: missing type 3"),
            (
                &[("decision_type=2 1", "decision_type=300 1")],
                "tree 0: line 18: decision_type: \"300\" is not a number of the kind expected",
            ),
            (
                &[("num_leaves=3", "num_leaves=2147483648")],
                "tree 0: num_leaves is 2147483648, but leaf_value has 3 entries",
            ),
            (
                &[("num_leaves=3", "num_leaves=0"), ("leaf_value=1 2 3", "leaf_value=")],
                "tree 0: num_leaves is 0, but leaf_value has 0 entries",
            ),
            (
                &[("num_leaves=3", "num_leaves=-1")],
                "tree 0: line 13: num_leaves: \"-1\" is not a number of the kind expected",
            ),
            (&[("num_leaves=3\n", "")], "tree 0: no num_leaves: the tree is cut short"),
            (&[("num_leaves=3", "num_leaves")], "tree 0: line 13: \"num_leaves\" is not key=value"),
            (
                &[("cat_boundaries=0 2", "cat_boundaries=0 3")],
                "tree 0, node 1: category set at words 0..3, but there are 2",
            ),
            (
                &[("cat_boundaries=0 2", "cat_boundaries=2 0")],
                "tree 0, node 1: category set at words 2..0, but there are 2",
            ),
            (
                &[("cat_boundaries=0 2", "cat_boundaries=-1 2")],
                "tree 0, node 1: category set at words -1..2, but there are 2",
            ),
            (
                &[("cat_boundaries=0 2", "cat_boundaries=0 9223372036854775807")],
                "tree 0, node 1: category set at words 0..9223372036854775807, but there are 2",
            ),
            (&[("cat_boundaries=0 2", "cat_boundaries=0 1 2")], "tree 0: cat_boundaries has 3 entries for 1 sets"),
            (
                &[("num_cat=1", "num_cat=18446744073709551615")],
                "tree 0: cat_boundaries has 2 entries for 18446744073709551615 sets",
            ),
            (&[("num_cat=1", "num_cat=2147483648")], "tree 0: cat_boundaries has 2 entries for 2147483648 sets"),
            (
                &[("cat_threshold=2 2", "cat_threshold=2 -2")],
                "tree 0: line 23: cat_threshold: \"-2\" is not a number of the kind expected",
            ),
            (
                &[("decision_type=2 1", "decision_type=1 1"), ("threshold=0.5 0", "threshold=0 0")],
                "tree 0: category sets of 4 words, but cat_threshold has 2",
            ),
        ],
    );
}

#[test]
fn lightgbm_header() {
    refuses(
        lightgbm,
        &[
            (&[("max_feature_idx=1", "max_feature_idx=2147483648")], "2147483649 features, but the limit is 4194304"),
            (&[("max_feature_idx=1", "max_feature_idx=9223372036854775807")], "max_feature_idx is 9223372036854775807"),
            (&[("max_feature_idx=1", "max_feature_idx=-2")], "max_feature_idx is -2"),
            (&[("max_feature_idx=1", "max_feature_idx=2")], "2 feature_names, but max_feature_idx makes 3"),
            (&[("max_feature_idx=1\n", "")], "the head has no max_feature_idx"),
            (&[("num_class=1", "num_class=-1")], "line 3: num_class: \"-1\" is not a number of the kind expected"),
            (&[("num_class=1\n", "")], "the head has no num_class"),
            (
                &[("num_tree_per_iteration=1", "num_tree_per_iteration=2147483648")],
                "2147483648 outputs, but the limit is 65536",
            ),
            (&[("num_tree_per_iteration=1", "num_tree_per_iteration=0")], "num_tree_per_iteration is 0"),
            (
                &[("num_tree_per_iteration=1", "num_tree_per_iteration=2"), ("num_class=1", "num_class=2")],
                "1 trees do not make whole iterations of 2",
            ),
            (&[("num_class=1", "num_class=3")], "num_class is 3, but num_tree_per_iteration 1"),
            (&[("num_class=1", "num_class=2147483648")], "num_class is 2147483648, but num_tree_per_iteration 1"),
            (
                &[("objective=regression", "objective=multiclass num_class:3")],
                "objective num_class is \"3\", but num_tree_per_iteration 1",
            ),
            (&[("objective=regression", "objective=focal")], "objective \"focal\" is not supported"),
            (
                &[("objective=regression", "objective=binary sigmoid:nan")],
                "objective binary: sigmoid \"nan\" is not positive",
            ),
            (&[("end of trees", "end of tree")], "line 28: \"end of tree\" where a tree is expected"),
            (&[("Tree=0", "Tre=0")], "line 13: num_leaves: no \"Tree=\" line before it"),
            (&[("is_linear=0", "is_linear=7")], "tree 0: leaf_const has 0 entries for 3 leaves"),
        ],
    );
    let long = "x".repeat(100_000);
    for name in ["regression", "[0:1]", "v4", "\nlabel_index", "\nsplit_gain"] {
        let text = refusal(lightgbm(&[(name, &long)]));
        assert!(!text.starts_with("an odd error"), "{}", &text[..200.min(text.len())]);
    }
}

/// The model of `LIGHTGBM` as JSON.
const LIGHTGBM_JSON: &str = r#"{"name":"tree","version":"v4","num_class":1,"num_tree_per_iteration":1,"max_feature_idx":1,"objective":"regression","average_output":false,"feature_names":["a","b"],"feature_infos":{"a":{"min_value":0,"max_value":1,"values":[]},"b":{"min_value":1,"max_value":33,"values":[1,33]}},"tree_info":[{"tree_index":0,"num_leaves":3,"num_cat":1,"shrinkage":1,"tree_structure":{"split_index":0,"split_feature":0,"threshold":0.5,"decision_type":"<=","default_left":true,"missing_type":"None","left_child":{"leaf_index":0,"leaf_value":1},"right_child":{"split_index":1,"split_feature":1,"threshold":"1||33","decision_type":"==","default_left":false,"missing_type":"None","left_child":{"leaf_index":1,"leaf_value":2},"right_child":{"leaf_index":2,"leaf_value":3}}}}],"pandas_categorical":null}"#;

#[test]
fn lightgbm_json() {
    let load =
        |edits: Edits<'_>| Model::options().from_slice(Format::LightGbmJson, edited(LIGHTGBM_JSON, edits).as_bytes());
    for row in [[0.5, 7.0], [0.6, 33.0], [0.6, 7.0], [f64::NAN, f64::NAN]] {
        let text = lightgbm(&[]).unwrap().predict(&row[..]).unwrap();
        assert_eq!(load(&[]).unwrap().predict(&row[..]).unwrap(), text, "{row:?}");
    }
    refuses(
        load,
        &[
            (&[("\"num_leaves\":3", "\"num_leaves\":2")], "tree 0: num_leaves is 2, but the tree has 3"),
            (&[("\"leaf_index\":2", "\"leaf_index\":1")], "tree 0: leaf_index 1 twice, or of 3 leaves"),
            (&[("\"leaf_index\":2", "\"leaf_index\":3")], "tree 0: leaf_index 3 twice, or of 3 leaves"),
            (&[("\"leaf_index\":2,", "")], "tree 0: byte 734: a node without leaf_index"),
            (&[("\"leaf_index\":2", "\"leaf_index\":-1")], "tree 0: byte 734: an index of -1"),
            (
                &[("\"threshold\":0.5", "\"threshold\":\"0||1\"")],
                "tree 0: byte 754: a decision_type that is not that of the threshold",
            ),
            (&[("\"1||33\"", "\"1|33\"")], "tree 0: byte 593: a threshold that is no list of category codes"),
            (&[("\"1||33\"", "\"1||-3\"")], "tree 0: byte 594: a threshold that is no list of category codes"),
            (&[("\"threshold\":0.5,", "")], "tree 0: byte 735: a node without threshold"),
            (&[("\"threshold\":0.5", "\"threshold\":NaN")], "tree 0, node 0: the threshold is NaN"),
            (&[("\"<=\"", "\">\"")], "tree 0: byte 437: decision_type \">\""),
            (&[("\"default_left\":true,", "")], "tree 0: byte 731: a node without default_left"),
            (
                &[("true,\"missing_type\":\"None\"", "true,\"missing_type\":\"Any\"")],
                "tree 0: byte 479: missing_type \"Any\"",
            ),
            (&[("\"split_feature\":0", "\"split_feature\":2")], "tree 0, node 0: feature 2, but the model declares 2"),
            (
                &[("\"split_feature\":0", "\"split_feature\":0,\"leaf_value\":1")],
                "tree 0: byte 766: a node that is both leaf and split",
            ),
            (&[("\"split_index\":0", "\"split_feature\":0")], "tree 0: byte 403: a second split_feature in one node"),
            (&[("\"max_feature_idx\":1,", "")], "no \"max_feature_idx\" in the file: not a LightGBM model"),
            (&[("\"num_class\":1,", "")], "the head has no num_class"),
            (&[("\"num_tree_per_iteration\":1", "\"num_tree_per_iteration\":0")], "num_tree_per_iteration is 0"),
            (&[("\"objective\":\"regression\"", "\"objective\":\"focal\"")], "objective \"focal\" is not supported"),
            (&[("[\"a\",\"b\"]", "[\"a\"]")], "1 feature_names, but max_feature_idx makes 2"),
            (
                &[("\"pandas_categorical\":null", "\"pandas_categorical\":[1]")],
                "pandas_categorical: byte 776: found '1' where '[' is expected",
            ),
        ],
    );
    // As deep as a tree may be, without the stack.
    let depth = 100_000;
    let mut tree = String::new();
    for level in 0..depth {
        tree += r#"{"split_feature":0,"threshold":0.5,"decision_type":"<=","default_left":true,"missing_type":"None","left_child":{"leaf_value":1,"leaf_index":"#;
        tree += &format!("{level}}},\"right_child\":");
    }
    tree += &format!("{{\"leaf_value\":2,\"leaf_index\":{depth}}}{}", "}".repeat(depth));
    let (head, rest) = LIGHTGBM_JSON.split_once("\"num_leaves\":3").unwrap();
    let tail = &rest[rest.find("}],\"pandas").unwrap()..];
    let text = format!("{head}\"num_leaves\":{},\"tree_structure\":{tree}{tail}", depth + 1);
    let model = Model::options().from_slice(Format::LightGbmJson, text.as_bytes()).unwrap();
    assert_eq!(model.predict(&[0.6, 0.0][..]).unwrap().to_f64(), [2.0]);
    let cut = Model::options().from_slice(Format::LightGbmJson, &text.as_bytes()[..text.len() - tail.len() - 1]);
    assert!(refusal(cut).contains("the file ends"));
}

#[test]
fn the_binary_format() {
    let good = file("xgboost/v1_0_logistic/model.bin");
    let load = |bytes: &[u8]| Model::options().output(Output::Margin).from_slice(Format::XgBoostBinary, bytes);
    let row = [0.25f32, -0.5, f32::NAN, 0.5];
    let margin = |bytes: &[u8]| load(bytes).unwrap().predict(&row[..]).unwrap();
    let producer = |bytes: &[u8]| load(bytes).unwrap().source().producer.clone();
    assert_eq!(producer(&good), "XGBoost 1.0");
    assert_eq!(margin(&[b"binf", &good[..]].concat()), margin(&good));
    // Words of the learner's parameters: base score, features, classes, attributes, metrics, version.
    let with = |words: &[(usize, u32)]| {
        let mut bytes = good.clone();
        for &(index, word) in words {
            bytes[4 * index..][..4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    // Before 1.0 the base score was a margin: 0, where later ones say the probability 0.5.
    let old = with(&[(0, 0), (5, 0), (6, 0)]);
    assert_eq!(margin(&old), margin(&good));
    assert_eq!(producer(&old), "XGBoost of unknown version");
    let tree = 136 + 8 + 15 + 8 + 6 + 160;
    let at = |byte: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[byte..][..4].copy_from_slice(&word.to_le_bytes());
        bytes
    };
    for (bytes, finding) in [
        (with(&[(0, f32::NAN.to_bits())]), "base_score"),
        (with(&[(1, 1)]), "but the model declares 1"),
        (with(&[(2, u32::MAX)]), "num_class is -1"),
        (with(&[(3, 0)]), "bytes after the end of the model"),
        (at(136, 200_000), "a length of 200000"),
        (at(tree - 160, 6), "bytes expected, but the file ends after"),
        (at(tree - 160, u32::MAX), "num_trees is -1"),
        (at(tree + 4, u32::MAX), "tree 0: byte"),
        (at(tree + 4, 0), "tree 0, node 0: no such node"),
        (at(tree + 20, 3), "tree 0: vector leaves (3 values) in the binary format"),
        (at(tree + 148 + 4, 0), "tree 0, node 0: reached twice"),
        (at(tree + 148 + 4, 77_777), "node 77777: no such node"),
    ] {
        let error = load(&bytes).map(drop).unwrap_err();
        assert!(error.to_string().contains(finding), "{finding}: {error}");
        survive::is_plain(&error).unwrap();
    }
}

#[test]
fn categories_that_are_no_list_are_refused() {
    let cats = |enc: &str| {
        let cats = format!("\"cats\":{{\"enc\":[{{\"offsets\":[],\"values\":[]}},{enc}]}},\"trees\":");
        xgboost(&[("\"trees\":", &cats), ("[3,2,0]", "[3,4,0]")])
    };
    let model = cats("{\"offsets\":[0,3,8],\"values\":[114,101,100,103,114,101,101,110]}").unwrap();
    assert_eq!(model.schema().features[1].encode("green").unwrap(), 1.0);
    for (enc, finding) in [
        ("{\"offsets\":[0,3],\"values\":[114,101]}", "offsets of categories"),
        ("{\"offsets\":[3,0],\"values\":[114,101,100]}", "offsets of categories"),
        ("{\"offsets\":[0,1],\"values\":[-61]}", "categories that are not UTF-8"),
        ("{\"offsets\":[0,1],\"values\":[195]}", "categories that are not UTF-8"),
        ("{\"type\":15,\"values\":[1,1]}", "a category twice"),
        ("{\"type\":15,\"values\":[1]},{}", "3 lists of categories, but num_feature is 2"),
    ] {
        let error = refusal(cats(enc));
        assert!(error.contains(finding), "{error}");
    }
    // XGBoost 3.1 and 3.2 garble lists of words beyond ASCII; such models load, and take codes.
    let model = Case::named("xgboost/v3_1_category_names").load(Model::options()).unwrap();
    let schema = model.schema();
    assert_eq!(schema.encode("colour", 2).unwrap(), 2.0);
    assert_eq!(schema.encode("zone", 40).unwrap(), 3.0);
    let error = schema.encode("colour", "blue").unwrap_err();
    assert!(error.is_shape());
    assert_eq!(
        error.to_string(),
        "feature \"colour\": \"blue\" is not a number, and the model stores no categories: pass codes"
    );
    // A list that fits no feature names no categories: codes are codes.
    let lists = |lists: &str| {
        let text = format!("{LIGHTGBM}\npandas_categorical:{lists}\n");
        Model::options().from_slice(Format::LightGbmText, text.as_bytes()).unwrap()
    };
    let long = format!("[[{}]]", (0..34).map(|code| format!("\"c{code}\"")).collect::<Vec<_>>().join(","));
    assert_eq!(lists(&long).schema().encode("b", "c33").unwrap(), 33.0);
    for short in ["[[\"a\"]]", &format!("[[1],{}", &long[1..]), "null", "[]"] {
        assert!(lists(short).schema().features[1].categories.is_none(), "{short}");
    }
    let twice = long.replace("\"c1\"", "\"c2\"");
    assert!(lists(&twice).schema().features[1].categories.is_none());
}

#[test]
fn what_is_no_model_at_all() {
    let detected = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m"), bytes).unwrap();
        let error = Model::load(folder.path().join("m")).unwrap_err();
        survive::is_plain(&error).unwrap();
        error.to_string().rsplit_once("/m: ").unwrap().1.to_owned()
    };
    assert_eq!(detected(b""), "the file is empty");
    assert_eq!(detected(b" \n\t\r "), "the file is empty");
    let unknown = |start: &str| {
        format!(
            "not a model file this version knows (it starts with \"{start}\"); known are XGBoost JSON, UBJSON and binary, LightGBM text and JSON, Treelite checkpoints, CatBoost JSON, scikit-learn JSON (python/export_sklearn.py), ONNX"
        )
    };
    assert_eq!(detected(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), unknown("\\x89PNG\\r\\n\\x1a\\n\\x00\\x00\\x00\\r"));
    assert_eq!(detected(b"PK\x03\x04\x14\0"), unknown("PK\\x03\\x04\\x14\\x00"));
    assert_eq!(detected(&[0xff; 4000]), unknown(&"\\xff".repeat(12)));
    let with_bom = [b"\xef\xbb\xbf", XGBOOST.as_bytes()].concat();
    assert!(detected(&with_bom).starts_with("not a model file this version knows (it starts with \"\\xef\\xbb\\xbf{"));
    let utf16: Vec<u8> = XGBOOST.encode_utf16().flat_map(u16::to_le_bytes).collect();
    survive::is_plain(&Model::options().from_slice(Format::XgBoostJson, &utf16).unwrap_err()).unwrap();
    let utf16: Vec<u8> = LIGHTGBM.encode_utf16().flat_map(u16::to_be_bytes).collect();
    survive::is_plain(&Model::options().from_slice(Format::LightGbmText, &utf16).unwrap_err()).unwrap();
    for format in Format::ALL {
        for bytes in [
            &b""[..],
            b" ",
            b"\n",
            b"\0",
            b"{",
            b"}",
            b"{}",
            b"[",
            b"]",
            b"\"",
            b"{\"",
            b"{\"\\",
            b"{\"a\":",
            b"{L",
            b"{\"learner\":{}}",
            b"Tree=",
            b"=",
            b"end of trees",
            b"tree\n\n\n\n",
            b"{\"learner\":[]}",
            b"{N",
        ] {
            survive::is_plain(&Model::options().from_slice(*format, bytes).unwrap_err()).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let error = Model::load(folder.path()).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("irectory"), "{error}");
    let error = Model::load(folder.path().join("none")).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("/none: "), "{error}");
}

#[test]
fn the_wrong_format_by_force() {
    let files = [
        (Format::XgBoostJson, XGBOOST.as_bytes().to_vec()),
        (Format::XgBoostUbjson, file("xgboost/iris/model.ubj")),
        (Format::XgBoostBinary, file("xgboost/v1_0_logistic/model.bin")),
        (Format::LightGbmText, LIGHTGBM.as_bytes().to_vec()),
        (Format::LightGbmJson, LIGHTGBM_JSON.as_bytes().to_vec()),
    ];
    let mut texts = Vec::new();
    for (format, bytes) in &files {
        for forced in Format::ALL.iter().filter(|forced| *forced != format) {
            texts.push(format!("{format} as {forced}: {}", refusal(Model::options().from_slice(*forced, bytes))));
        }
    }
    assert_eq!(
        texts,
        [
            "xgboost-json as xgboost-ubjson: byte 2: found marker '\"' where a length is expected",
            "xgboost-json as xgboost-binary: byte 144: a length of 8461738322823291450, but 564 bytes are left",
            "xgboost-json as lightgbm-text: no tree in the file: not a LightGBM model, or cut short",
            "xgboost-json as lightgbm-json: byte 703: found '2' where '\"' is expected",
            "xgboost-json as treelite: not a Treelite checkpoint",
            "xgboost-json as catboost-json: the model has no loss_function",
            "xgboost-json as sklearn-json: not a file of export_sklearn.py",
            "xgboost-json as onnx: not an ONNX model, or cut short",
            "xgboost-ubjson as xgboost-json: byte 1: found 'L' where '\"' is expected",
            "xgboost-ubjson as xgboost-binary: byte 144: a length of 5002088, but 27625 bytes are left",
            "xgboost-ubjson as lightgbm-text: line 1: not UTF-8 text",
            "xgboost-ubjson as lightgbm-json: byte 1: found 'L' where '\"' is expected",
            "xgboost-ubjson as treelite: not a Treelite checkpoint",
            "xgboost-ubjson as catboost-json: byte 1: found 'L' where '\"' is expected",
            "xgboost-ubjson as sklearn-json: byte 1: found 'L' where '\"' is expected",
            "xgboost-ubjson as onnx: not an ONNX model, or cut short",
            "xgboost-binary as xgboost-json: byte 0: found '\\0' where '{' is expected",
            "xgboost-binary as xgboost-ubjson: byte 1: found marker '\\0' where an object is expected",
            "xgboost-binary as lightgbm-text: line 1: not UTF-8 text",
            "xgboost-binary as lightgbm-json: byte 0: found '\\0' where '{' is expected",
            "xgboost-binary as treelite: not a Treelite checkpoint",
            "xgboost-binary as catboost-json: byte 0: found '\\0' where '{' is expected",
            "xgboost-binary as sklearn-json: byte 0: found '\\0' where '{' is expected",
            "xgboost-binary as onnx: not an ONNX model, or cut short",
            "lightgbm-text as xgboost-json: byte 0: found 't' where '{' is expected",
            "lightgbm-text as xgboost-ubjson: byte 1: found marker 't' where an object is expected",
            "lightgbm-text as xgboost-binary: byte 144: a length of 2332074308036935027, but 302 bytes are left",
            "lightgbm-text as lightgbm-json: byte 0: found 't' where '{' is expected",
            "lightgbm-text as treelite: not a Treelite checkpoint",
            "lightgbm-text as catboost-json: byte 0: found 't' where '{' is expected",
            "lightgbm-text as sklearn-json: byte 0: found 't' where '{' is expected",
            "lightgbm-text as onnx: not an ONNX model, or cut short",
            "lightgbm-json as xgboost-json: byte 25: found '\"' where '[' is expected",
            "lightgbm-json as xgboost-ubjson: byte 2: found marker '\"' where a length is expected",
            "lightgbm-json as xgboost-binary: byte 144: a length of 8386095470474978675, but 636 bytes are left",
            "lightgbm-json as lightgbm-text: no tree in the file: not a LightGBM model, or cut short",
            "lightgbm-json as treelite: not a Treelite checkpoint",
            "lightgbm-json as catboost-json: the model has no loss_function",
            "lightgbm-json as sklearn-json: not a file of export_sklearn.py",
            "lightgbm-json as onnx: not an ONNX model, or cut short",
        ]
    );
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[", "{\"a\":", "[[1],", "{\"Model\":", "{\"learner\":{\"gradient_booster\":{\"gbtree\":"] {
        let deep = text.repeat(1_000_000 / text.len());
        survive::is_plain(&Model::options().from_slice(Format::XgBoostJson, deep.as_bytes()).unwrap_err()).unwrap();
        let inside = edited(XGBOOST, &[("\"attributes\":{}", &format!("\"attributes\":{deep}"))]);
        survive::is_plain(&Model::options().from_slice(Format::XgBoostJson, inside.as_bytes()).unwrap_err()).unwrap();
    }
    let inside =
        edited(XGBOOST, &[("\"attributes\":{}", &format!("\"attributes\":{{\"x\":{}", "[".repeat(1_000_000)))]);
    let error = Model::options().from_slice(Format::XgBoostJson, inside.as_bytes()).unwrap_err().to_string();
    assert!(error.ends_with(": nested more than 64 deep"), "{error}");
    for start in [&b"{L\0\0\0\0\0\0\0\x01a"[..], b"[", b"{L\0\0\0\0\0\0\0\x05Model", b"[#i\x01"] {
        let deep = [&b"{L\0\0\0\0\0\0\0\x01a"[..], &start.repeat(100_000)].concat();
        survive::is_plain(&Model::options().from_slice(Format::XgBoostUbjson, &deep).unwrap_err()).unwrap();
    }
}

#[test]
fn lightgbm_files_of_editors() {
    for case in ["wine", "category_sets", "missing_nan", "forest_classes"] {
        let bytes = file(&format!("lightgbm/{case}/model.txt"));
        let text = String::from_utf8(bytes.clone()).unwrap();
        let lying = {
            let line = text.lines().find(|line| line.starts_with("tree_sizes=")).unwrap();
            {
                let trees = text.matches("\nTree=").count();
                text.replace(line, &format!("tree_sizes={}", vec!["99999999999"; trees].join(" ")))
            }
        };
        let model = Model::options().from_slice(Format::LightGbmText, &bytes).unwrap();
        let mut random = Random(1);
        let rows = Array2::from_shape_fn((50, model.schema().n_features()), |_| random.below(300) as f64 / 7.0);
        let bits =
            |model: &Model| model.predict(&rows).unwrap().to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>();
        for other in [text.replace('\n', "\r\n"), lying, text.replace("\n\n\nend of trees", "\n\n\n\n\nend of trees")] {
            let other = Model::options().from_slice(Format::LightGbmText, other.as_bytes()).unwrap();
            assert_eq!(bits(&other), bits(&model), "{case}");
        }
    }
}

#[test]
fn every_limit_is_kept() {
    let limited = |set: fn(&mut Limits), format: Format, bytes: &[u8]| {
        let mut limits = Limits::default();
        set(&mut limits);
        let error = Model::options().limits(limits).from_slice(format, bytes).unwrap_err();
        assert!(error.is_limit() && error.is_invalid_model(), "{error:?}");
        error.to_string()
    };
    for (format, path, expected) in [
        (
            Format::XgBoostJson,
            "xgboost/iris/model.json",
            [
                "23313 bytes, but the limit is 100",
                "4 trees, but the limit is 3",
                "12 nodes, but the limit is 10",
                "4 features, but the limit is 3",
                "3 outputs, but the limit is 2",
            ],
        ),
        (
            Format::XgBoostUbjson,
            "xgboost/iris/model.ubj",
            [
                "27769 bytes, but the limit is 100",
                "4 trees, but the limit is 3",
                "12 nodes, but the limit is 10",
                "4 features, but the limit is 3",
                "3 outputs, but the limit is 2",
            ],
        ),
        (
            Format::LightGbmText,
            "lightgbm/wine/model.txt",
            [
                "15263 bytes, but the limit is 100",
                "4 trees, but the limit is 3",
                "18 nodes, but the limit is 10",
                "13 features, but the limit is 3",
                "3 outputs, but the limit is 2",
            ],
        ),
    ] {
        let bytes = file(path);
        let found = [
            limited(|limits| limits.max_bytes = 100, format, &bytes),
            limited(|limits| limits.max_trees = 3, format, &bytes),
            limited(|limits| limits.max_nodes = 10, format, &bytes),
            limited(|limits| limits.max_features = 3, format, &bytes),
            limited(|limits| limits.max_outputs = 2, format, &bytes),
        ];
        assert_eq!(found, expected, "{path}");
    }
    // Neither its size nor its content bounds a device.
    #[cfg(unix)]
    {
        let mut limits = Limits::default();
        limits.max_bytes = 1 << 20;
        let error = Model::options().limits(limits).load("/dev/zero").unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: 1048577 bytes, but the limit is 1048576");
    }
}

/// Loads `bytes` and bounds the memory that takes.
fn costs_little(what: &str, format: Format, bytes: &[u8]) {
    let mut text = String::new();
    let info = allocation_counter::measure(|| text = refusal(Model::options().from_slice(format, bytes)));
    println!("{what}: {} bytes of file, {} of memory: {text}", bytes.len(), info.bytes_max);
    assert!(
        info.bytes_max <= allowance(bytes),
        "{what}: {} bytes of file, {} of memory: {text}",
        bytes.len(),
        info.bytes_max
    );
    assert!(!text.starts_with("an odd error"), "{text}");
}

#[test]
fn claims_cost_no_memory() {
    let json =
        |what: &str, edits: Edits<'_>| costs_little(what, Format::XgBoostJson, edited(XGBOOST, edits).as_bytes());
    json("size_leaf_vector", &[("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"2147483647\"")]);
    json("num_target", &[(PARAM, "\"num_feature\":\"2\",\"num_target\":\"65536\"")]);
    json(
        "num_parallel_tree",
        &[("\"num_parallel_tree\":\"1\"", "\"num_parallel_tree\":\"1048576\""), ("\"iteration_indptr\":[0,1],", "")],
    );
    let text =
        |what: &str, edits: Edits<'_>| costs_little(what, Format::LightGbmText, edited(LIGHTGBM, edits).as_bytes());
    text("num_leaves", &[("num_leaves=3", "num_leaves=2147483647")]);
    text("num_cat", &[("num_cat=1", "num_cat=2147483647")]);
    text("cat_boundaries", &[("cat_boundaries=0 2", "cat_boundaries=0 2147483647")]);
    for length in [[0x7f; 8], [0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff], [0xff; 8], [0, 0, 0, 0, 0x80, 0, 0, 0]] {
        for kind in [&b"S"[..], b"[#", b"[$d#", b"[$L#", b"[$U#", b"[$T#", b"[$Z#", b"[$N#", b"[$S#", b"[$[#", b"[${#"]
        {
            for key in ["learner", "version", "other"] {
                let key = [b"{L\0\0\0\0\0\0\0".as_slice(), &[key.len() as u8], key.as_bytes()].concat();
                let bytes = [&key, kind, b"L", &length, b"\0\0\0\0"].concat();
                costs_little("a UBJSON length", Format::XgBoostUbjson, &bytes);
            }
        }
    }
}

#[test]
fn shared_parts_cost_no_memory() {
    // Many splits that refer to the same long list.
    let chain = |splits: usize| {
        let left: Vec<_> =
            (0..splits).map(|split| (split + 1).to_string()).chain(vec!["-1".to_owned(); splits + 1]).collect();
        let right: Vec<_> = (0..splits)
            .map(|split| (splits + 1 + split).to_string())
            .chain(vec!["-1".to_owned(); splits + 1])
            .collect();
        (left.join(","), right.join(","))
    };
    let list = |count: usize, item: &str| vec![item; count].join(",");
    let n = 2000;
    let nodes = 2 * n + 1;
    let (left, right) = chain(n);
    let numbers = |from: usize, step: usize, count: usize| {
        (0..count).map(|i| (from + i * step).to_string()).collect::<Vec<_>>().join(",")
    };
    let tree = |extra: &str, width: usize, right: &str| {
        let start = XGBOOST.find("{\"base_weights\"").unwrap();
        let end = XGBOOST.find("]},\"name\":\"gbtree\"").unwrap();
        format!(
            "{}{{{extra},\"default_left\":[{}],\"id\":0,\"left_children\":[{left}],\"right_children\":[{right}],\"split_conditions\":[{}],\"split_indices\":[{}],\"tree_param\":{{\"size_leaf_vector\":\"{width}\"}}}}{}",
            &XGBOOST[..start],
            list(nodes, "0"),
            list(nodes, "0"),
            list(nodes, "0"),
            &XGBOOST[end..]
        )
    };
    let shared = format!(
        "\"split_type\":[{}],\"categories\":[{}],\"categories_nodes\":[{}],\"categories_segments\":[{}],\"categories_sizes\":[{}]",
        list(nodes, "1"),
        numbers(0, 32, n),
        numbers(0, 1, n),
        list(n, "0"),
        list(n, &n.to_string())
    );
    costs_little("shared categories", Format::XgBoostJson, tree(&shared, 1, &right).as_bytes());
    let shared = format!("\"leaf_weights\":[{}]", list(n, "0"));
    let right: Vec<_> = right.split(',').enumerate().map(|(node, child)| if node < n { child } else { "0" }).collect();
    costs_little("shared vector leaves", Format::XgBoostJson, tree(&shared, n, &right.join(",")).as_bytes());

    let spaced = |text: String| text.replace(',', " ");
    let right = numbers(1, 1, n - 1) + &format!(",-{}", n + 1);
    let text = edited(
        LIGHTGBM,
        &[
            ("num_leaves=3", &format!("num_leaves={}", n + 1)),
            ("split_feature=0 1", &format!("split_feature={}", spaced(list(n, "0")))),
            ("threshold=0.5 0", &format!("threshold={}", spaced(list(n, "0")))),
            ("decision_type=2 1", &format!("decision_type={}", spaced(list(n, "1")))),
            (
                "left_child=-1 -2",
                &format!("left_child={}", (1..=n).map(|leaf| format!("-{leaf}")).collect::<Vec<_>>().join(" ")),
            ),
            ("right_child=1 -3", &format!("right_child={}", spaced(right))),
            ("leaf_value=1 2 3", &format!("leaf_value={}", spaced(list(n + 1, "0")))),
            ("cat_boundaries=0 2", &format!("cat_boundaries=0 {n}")),
            ("cat_threshold=2 2", &format!("cat_threshold={}", spaced(list(n, "1")))),
        ],
    );
    costs_little("shared category sets", Format::LightGbmText, text.as_bytes());
}

#[test]
fn many_small_parts_cost_little_memory() {
    // Typed arrays of T, whose elements take no bytes: 2000 arrays that each claim what is left of the file.
    let mut bytes = b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\x10gradient_booster{".to_vec();
    let count = 500usize;
    for index in (0..count).rev() {
        bytes.extend(b"L\0\0\0\0\0\0\0\x0bweight_drop[$T#L");
        bytes.extend((index as u64 * 28).to_be_bytes());
    }
    costs_little("arrays of no bytes", Format::XgBoostUbjson, &bytes);
    let stump = "Tree=0\nnum_leaves=1\nleaf_value=0\n\n";
    let start = LIGHTGBM.find("Tree=0").unwrap();
    let text = format!("{}{}end of trees\n", &LIGHTGBM[..start], stump.repeat(5000)).replace("tree_sizes=300\n", "");
    costs_little("stumps", Format::LightGbmText, text.as_bytes());
    let names = vec!["a"; 20_000].join(" ");
    let text = edited(
        LIGHTGBM,
        &[
            ("max_feature_idx=1", "max_feature_idx=19999"),
            ("feature_names=a b", &format!("feature_names={names}")),
            ("feature_infos=[0:1] 1:33\n", ""),
        ],
    );
    costs_little("names", Format::LightGbmText, text.as_bytes());
    let keys: String = (0..20_000).map(|key| format!("\"{key}\":0,")).collect();
    costs_little(
        "keys",
        Format::XgBoostJson,
        edited(XGBOOST, &[("\"version\"", &format!("{keys}\"version\""))]).as_bytes(),
    );
}

#[test]
fn the_widest_model_costs_what_its_schema_takes() {
    let edits = [
        ("max_feature_idx=1", "max_feature_idx=4194303"),
        ("feature_names=a b\n", ""),
        ("feature_infos=[0:1] 1:33\n", ""),
    ];
    let text = edited(LIGHTGBM, &edits);
    let mut model = None;
    let info = allocation_counter::measure(|| {
        model = Some(Model::options().from_slice(Format::LightGbmText, text.as_bytes()).unwrap());
    });
    println!("4,194,304 features: {} bytes", info.bytes_max);
    assert!(info.bytes_max < 300 << 20, "{} bytes", info.bytes_max);
    // 128 sparse rows are not written out at once.
    let model = model.unwrap();
    let (indptr, indices, values) = ((0..=128).collect::<Vec<_>>(), vec![0; 128], vec![1.0; 128]);
    let info = allocation_counter::measure(|| {
        let rows = Rows::csr(4_194_304, &indptr, &indices, &values).unwrap();
        assert_eq!(model.predict(rows).unwrap().to_f64(), [3.0; 128]);
    });
    println!("128 sparse rows: {} bytes", info.bytes_max);
    assert!(info.bytes_max < 100 << 20, "{} bytes", info.bytes_max);
}

#[test]
fn rows_that_do_not_fit() {
    let model = xgboost(&[]).unwrap();
    let refused = |rows: sawmill::Result<Rows<'_>>| {
        let error = rows.and_then(|rows| model.predict(rows)).unwrap_err();
        assert!(error.is_shape(), "{error:?}");
        error.to_string()
    };
    assert_eq!(refused(Ok((&[0.0f32; 3]).into())), "3 values do not make whole rows of 2 columns");
    assert_eq!(refused(Rows::row_major(&[0.0f32; 6], 3)), "rows have 3 columns, but the model has 2 features");
    assert_eq!(refused(Rows::column_major(&[0.0f64; 3], 1)), "rows have 1 columns, but the model has 2 features");
    assert_eq!(refused(Rows::row_major(&[0.0f32; 6], 0)), "6 values do not make whole rows of 0 columns");
    assert_eq!(refused(Rows::row_major::<f32>(&[], 0)), "rows have 0 columns, but the model has 2 features");
    assert_eq!(refused(Rows::row_major::<f32>(&[], 3)), "rows have 3 columns, but the model has 2 features");
    refused(Rows::row_major::<f32>(&[], usize::MAX));
    refused(Rows::row_major(&[1.0f32], usize::MAX));
    refused(Rows::column_major::<f64>(&[], usize::MAX));
    refused(Rows::csr::<f32>(2, &[], &[], &[]));
    refused(Rows::csr(2, &[0, 1], &[0], &[] as &[f32]));
    refused(Rows::csr(2, &[0, 2], &[0], &[1.0f32]));
    refused(Rows::csr(2, &[1, 1], &[0], &[1.0f32]));
    refused(Rows::csr(2, &[0, usize::MAX, 1], &[0], &[1.0f32]));
    refused(Rows::csr(2, &[0, 1], &[u32::MAX], &[1.0f32]));
    refused(Rows::csr(usize::MAX, &[0, 1], &[u32::MAX], &[1.0f32]));
    assert_eq!(model.predict(Rows::csr::<f32>(2, &[0], &[], &[]).unwrap()).unwrap().n_rows(), 0);
    assert_eq!(model.predict(&[0.0f32; 0]).unwrap().n_rows(), 0);
    // More rows than memory has room for: views can claim them.
    let one = Array2::<f32>::zeros((1, 2));
    for rows in [1 << 50, usize::MAX >> 2] {
        let text = refused(Ok(one.broadcast((rows, 2)).unwrap().into()));
        assert_eq!(text, format!("{rows} rows of 1 predictions are more than memory has room for"));
    }
}

#[test]
fn models_without_features_or_trees() {
    let none = [
        ("\"split_indices\":[1,0,0]", "\"split_indices\":[0,0,0]"),
        (LEFT, "\"left_children\":[-1,-1,-1]"),
        (PARAM, "\"num_feature\":\"0\""),
    ];
    for output in [Output::Value, Output::Leaf, Output::Margin] {
        let text = edited(XGBOOST, &none);
        let model = Model::options().output(output).from_slice(Format::XgBoostJson, text.as_bytes()).unwrap();
        assert!(model.validate().ok);
        let empty = Array2::<f64>::zeros((20, 0));
        assert_eq!(model.predict(&empty).unwrap().n_rows(), 20);
        assert_eq!(model.predict(&[0.0f32; 0]).unwrap().n_rows(), 0);
        let sparse = model.predict(Rows::csr::<f64>(0, &[0, 0, 0], &[], &[]).unwrap()).unwrap();
        assert_eq!((sparse.n_rows(), sparse.n_columns()), (2, 1));
        let claimed = ndarray::ArrayView2::<f32>::from_shape((1 << 50, 0), &[]).unwrap();
        assert!(model.predict(claimed).unwrap_err().is_shape());

        let start = XGBOOST.find("\"trees\":[").unwrap();
        let end = XGBOOST.find("]},\"name\":\"gbtree\"").unwrap();
        let bare = format!("{}\"trees\":[{}", &XGBOOST[..start], &XGBOOST[end..]);
        let bare = edited(&bare, &[("\"tree_info\":[0]", "\"tree_info\":[]"), ("[0,1]", "[0]"), ("[0E0]", "[3E0]")]);
        let model = Model::options().output(output).from_slice(Format::XgBoostJson, bare.as_bytes()).unwrap();
        assert!(model.validate().ok);
        let predictions = model.predict(&[0.0f32; 4]).unwrap();
        assert_eq!(predictions.n_rows(), 2);
        assert_eq!(predictions.to_f64(), if output == Output::Leaf { vec![] } else { vec![3.0; 2] });
        let ranged = |options: ModelOptions| refusal(options.from_slice(Format::XgBoostJson, bare.as_bytes()));
        assert!(ranged(Model::options().iterations(0..1)).contains("iterations 0..1 asked of a model that has 0"));

        let start = LIGHTGBM.find("Tree=0").unwrap();
        let bare = format!("{}end of trees\n", &LIGHTGBM[..start]).replace("tree_sizes=300\n", "");
        let model = Model::options().output(output).from_slice(Format::LightGbmText, bare.as_bytes()).unwrap();
        assert!(model.validate().ok);
        assert_eq!(model.predict(&[0.0f32; 4]).unwrap().n_rows(), 2);
    }
    let stump = edited(XGBOOST, &[(LEFT, "\"left_children\":[-1,-1,-1]"), (PARAM, "\"num_feature\":\"1\"")]);
    let model = Model::options().from_slice(Format::XgBoostJson, stump.as_bytes()).unwrap();
    assert_eq!(model.predict(&[7.0f64, f64::NAN]).unwrap().to_f64(), [0.5, 0.5]);
}
