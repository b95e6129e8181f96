//! Treelite checkpoints made by hand: what is refused, and by which name.

use sawmill::{Error, Format, InputCast, Model, Output, Task};

/// The fields of a version 4 checkpoint of one tree: feature 0 at most 0.5 gives 1, else 2.
#[derive(Clone)]
struct Checkpoint {
    version: [i32; 3],
    types: [u8; 2],
    num_feature: i32,
    task: u8,
    num_target: i32,
    num_class: Vec<i32>,
    leaf_vector_shape: Vec<i32>,
    target_id: Vec<i32>,
    class_id: Vec<i32>,
    postprocessor: &'static str,
    base_scores: Vec<f64>,
    left: Vec<i32>,
    right: Vec<i32>,
    threshold: f64,
    operator: i8,
    leaf_vector: Vec<f64>,
    leaf_vector_end: Vec<u64>,
    categories_end: Vec<u64>,
    /// Optional fields, of 3 items of 5 bytes each.
    optional: i32,
    tail: &'static [u8],
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            version: [4, 1, 0],
            types: [3, 3],
            num_feature: 1,
            task: 1,
            num_target: 1,
            num_class: vec![1],
            leaf_vector_shape: vec![1, 1],
            target_id: vec![0],
            class_id: vec![0],
            postprocessor: "identity",
            base_scores: vec![0.25],
            left: vec![1, -1, -1],
            right: vec![2, -1, -1],
            threshold: 0.5,
            operator: 3,
            leaf_vector: Vec::new(),
            leaf_vector_end: vec![0; 3],
            categories_end: vec![0; 3],
            optional: 0,
            tail: b"",
        }
    }
}

fn array<T: Copy, const N: usize>(out: &mut Vec<u8>, items: &[T], bytes: fn(T) -> [u8; N]) {
    out.extend((items.len() as u64).to_le_bytes());
    out.extend(items.iter().flat_map(|&item| bytes(item)));
}

impl Checkpoint {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.version.iter().flat_map(|part| part.to_le_bytes()));
        out.extend(self.types);
        out.extend(1u64.to_le_bytes());
        out.extend(self.num_feature.to_le_bytes());
        out.extend([self.task, 0]);
        out.extend(self.num_target.to_le_bytes());
        for list in [&self.num_class, &self.leaf_vector_shape, &self.target_id, &self.class_id] {
            array(&mut out, list, i32::to_le_bytes);
        }
        array(&mut out, self.postprocessor.as_bytes(), u8::to_le_bytes);
        out.extend(1.0f32.to_le_bytes());
        out.extend(1.0f32.to_le_bytes());
        array(&mut out, &self.base_scores, f64::to_le_bytes);
        array(&mut out, b"{}", u8::to_le_bytes);
        self.optional_fields(&mut out);

        out.extend(3i32.to_le_bytes());
        out.push(0);
        array(&mut out, &[1, 0, 0], i8::to_le_bytes);
        array(&mut out, &self.left, i32::to_le_bytes);
        array(&mut out, &self.right, i32::to_le_bytes);
        array(&mut out, &[0, -1, -1], i32::to_le_bytes);
        array(&mut out, &[1, 0, 0], u8::to_le_bytes);
        array(&mut out, &[0.0, 1.0, 2.0], f64::to_le_bytes);
        array(&mut out, &[self.threshold, 0.0, 0.0], f64::to_le_bytes);
        array(&mut out, &[self.operator, 0, 0], i8::to_le_bytes);
        array(&mut out, &[0, 0, 0], u8::to_le_bytes);
        array(&mut out, &self.leaf_vector, f64::to_le_bytes);
        array(&mut out, &[0; 3], u64::to_le_bytes);
        array(&mut out, &self.leaf_vector_end, u64::to_le_bytes);
        array(&mut out, &[], u32::to_le_bytes);
        array(&mut out, &[0; 3], u64::to_le_bytes);
        array(&mut out, &self.categories_end, u64::to_le_bytes);
        for _ in 0..3 {
            array(&mut out, &[], u64::to_le_bytes);
            array(&mut out, &[], u8::to_le_bytes);
        }
        self.optional_fields(&mut out);
        self.optional_fields(&mut out);
        out.extend(self.tail);
        out
    }

    fn optional_fields(&self, out: &mut Vec<u8>) {
        out.extend(self.optional.to_le_bytes());
        for _ in 0..self.optional.max(0) {
            array(out, b"later", u8::to_le_bytes);
            out.extend(5u64.to_le_bytes());
            out.extend(3u64.to_le_bytes());
            out.extend([7; 15]);
        }
    }

    fn load(&self) -> sawmill::Result<Model> {
        Model::options().from_slice(Format::Treelite, &self.bytes())
    }

    fn refusal(&self) -> Error {
        self.load().expect_err("refused")
    }
}

fn checkpoint(edit: impl FnOnce(&mut Checkpoint)) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    edit(&mut checkpoint);
    checkpoint
}

#[test]
fn the_small_checkpoint_is_a_model() {
    for optional in [0, 2] {
        let checkpoint = checkpoint(|it| it.optional = optional);
        assert_eq!(Format::detect(&checkpoint.bytes()).unwrap(), Format::Treelite);
        let model = checkpoint.load().unwrap();
        assert_eq!(model.predict(&[0.5, 0.6, f64::NAN]).unwrap().to_f64(), [1.25, 2.25, 1.25]);
        assert_eq!((model.schema().task, model.source().producer.as_str()), (Task::Regression, "Treelite 4.1.0"));
    }
}

#[test]
fn an_isolation_forest_is_a_task_of_its_own() {
    let checkpoint = checkpoint(|it| (it.task, it.postprocessor) = (4, "exponential_standard_ratio"));
    let model = checkpoint.load().unwrap();
    assert_eq!(model.schema().task, Task::Outlier);
    assert_eq!(model.predict(&[0.5]).unwrap().to_f64(), [(-1.25f64).exp2()]);
    let labels = Model::options().output(Output::Label).from_slice(Format::Treelite, &checkpoint.bytes());
    assert!(labels.unwrap_err().is_option());
}

#[test]
fn an_input_cast_rounds_and_is_refused_where_the_type_is_known() {
    let checkpoint = checkpoint(|it| it.threshold = 0.1);
    let above = 0.1f64.next_up();
    let predict = |cast| {
        let model = Model::options().input_cast(cast).from_slice(Format::Treelite, &checkpoint.bytes()).unwrap();
        model.predict(&[0.1, above, f64::from(0.1f32)]).unwrap().to_f64()
    };
    assert_eq!(predict(InputCast::None), [1.25, 2.25, 2.25]);
    assert_eq!(predict(InputCast::F32), [2.25, 2.25, 2.25]);
    let path = "models/xgboost/tie/model.json";
    let error = Model::options().input_cast(InputCast::F32).load(path).unwrap_err();
    assert!(error.is_option(), "{error:?}");
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let cases: Vec<(Checkpoint, &str)> = vec![
        (checkpoint(|it| it.version = [5, 0, 0]), "a checkpoint of Treelite 5.0.0 is not loaded; known are 3.9 and 4"),
        (checkpoint(|it| it.version = [3, 4, 0]), "a checkpoint of Treelite 3.4.0 is not loaded; known are 3.9 and 4"),
        (checkpoint(|it| it.types = [3, 1]), "integer leaves are not supported"),
        (checkpoint(|it| it.postprocessor = "cauchit"), "postprocessor \"cauchit\" is not supported"),
        (checkpoint(|it| it.operator = 1), "tree 0, node 0: a test for equality is not supported"),
        (
            checkpoint(|it| {
                (it.num_class, it.base_scores, it.postprocessor) = (vec![2], vec![0.0; 2], "sigmoid");
            }),
            "postprocessor Sigmoid for targets of [2] classes is not supported",
        ),
        (
            checkpoint(|it| {
                (it.num_target, it.num_class, it.base_scores) = (2, vec![2, 2], vec![0.0; 4]);
                it.postprocessor = "softmax";
            }),
            "postprocessor Softmax for targets of [2, 2] classes is not supported",
        ),
        (
            checkpoint(|it| {
                (it.num_class, it.base_scores) = (vec![2], vec![0.0; 2]);
                (it.target_id, it.class_id) = (vec![-1], vec![1]);
            }),
            "tree 0: vector leaves for target -1, class 1 (-1 is all) are not supported",
        ),
    ];
    for (checkpoint, expected) in cases {
        let error = checkpoint.refusal();
        assert_eq!(error.to_string(), expected);
        assert!(error.is_unsupported(), "{error:?}");
    }
}

#[test]
fn contradictions_are_named() {
    let cases: Vec<(Checkpoint, &str)> = vec![
        (checkpoint(|it| it.types = [2, 3]), "byte 14: thresholds of type 2 beside leaves of type 3"),
        (checkpoint(|it| it.num_feature = -1), "byte 26: -1 features"),
        (checkpoint(|it| it.task = 9), "byte 138: task type 9"),
        (checkpoint(|it| it.num_class = vec![]), "byte 134: 1 targets, but num_class has 0"),
        (checkpoint(|it| it.num_class = vec![0]), "byte 138: a target of 0 classes"),
        (checkpoint(|it| it.target_id = vec![]), "byte 134: target_id has 0 entries for 1 trees"),
        (checkpoint(|it| it.target_id = vec![1]), "tree 0: adds to target 1, class 0"),
        (checkpoint(|it| it.class_id = vec![-2]), "tree 0: adds to target 0, class -2"),
        (
            checkpoint(|it| it.leaf_vector_shape = vec![1, 2]),
            "tree 0: leaf_vector_shape is [1, 2] where [1, 1] is expected",
        ),
        (checkpoint(|it| it.base_scores = vec![]), "0 base scores for 1 outputs"),
        (checkpoint(|it| it.left = vec![0, -1, -1]), "tree 0, node 0: reached twice: a cycle or a shared child"),
        (checkpoint(|it| it.right = vec![3, -1, -1]), "tree 0, node 3: no such node, the tree has 3"),
        (checkpoint(|it| it.right = vec![-1; 3]), "tree 0, node 0: child -1 of a node that is no leaf"),
        (checkpoint(|it| it.left = vec![1, -1]), "tree 0: cleft has 2 entries for 3 nodes"),
        (checkpoint(|it| it.threshold = f64::NAN), "tree 0, node 0: the threshold is NaN"),
        (checkpoint(|it| it.operator = 6), "tree 0, node 0: comparison operator 6"),
        (checkpoint(|it| it.leaf_vector_end = vec![0, 2, 0]), "tree 0: parts of 2 entries of leaf_vector, which has 0"),
        (
            checkpoint(|it| (it.leaf_vector, it.leaf_vector_end) = (vec![1.0, 2.0], vec![0, 2, 0])),
            "tree 0, node 1: a leaf of 2 values",
        ),
        (
            checkpoint(|it| it.categories_end = vec![1, 0, 0]),
            "tree 0: parts of 1 entries of category_list, which has 0",
        ),
        (checkpoint(|it| it.tail = b"!"), "byte 511: 1 bytes after the last tree"),
    ];
    for (checkpoint, expected) in cases {
        let error = checkpoint.refusal();
        assert_eq!(error.to_string(), expected);
        assert!(error.is_invalid_model(), "{error:?}");
    }
}

#[test]
fn a_length_that_lies_costs_no_memory() {
    let mut bytes = Checkpoint::default().bytes();
    let num_class_length = 32;
    for length in [u64::MAX, 1 << 62, 1 << 40] {
        bytes[num_class_length..num_class_length + 8].copy_from_slice(&length.to_le_bytes());
        let error = Model::options().from_slice(Format::Treelite, &bytes).unwrap_err().to_string();
        assert!(error.contains("the file is cut short"), "{error}");
    }
}
