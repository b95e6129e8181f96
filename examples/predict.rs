//! Loads a model and predicts: a batch from an ndarray view, then one row at a time into buffers that are reused.
//!
//! ```sh
//! cargo run --example predict -- [MODEL]
//! ```
//! Run from the repository root. Beside the model there must be rows as text, as in `models/xgboost/breast_cancer`.

use std::error::Error;
use std::path::Path;

use ndarray::{Array2, s};
use sawmill::{Forest, Labels, Model, Output, Predictions, Scratch};

const MODEL: &str = "models/xgboost/breast_cancer/model.json";

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| MODEL.to_owned());
    let model = Model::load(&path)?;
    println!("{}: {} features\n{}\n", model.source().producer, model.schema().n_features(), model.plan());

    // A batch. An ndarray view may have any strides: here every second row, without a copy.
    let rows = read_rows(&Path::new(&path).with_file_name("rows.csv"))?;
    let view = rows.slice(s![..;2, ..]);
    let batch = model.predict(view)?;
    println!("{} rows, {} values each", batch.n_rows(), batch.n_columns());

    // What a model predicts is chosen when it is loaded. Only classifiers have labels.
    let classifier = match model.forest().map_or(Labels::None, Forest::labels) {
        Labels::None => None,
        _ => Some(Model::options().output(Output::Label).load(&path)?),
    };

    // One row at a time. Once the buffers are warm, predict_into allocates nothing.
    let (mut prediction, mut label, mut scratch) = (Predictions::default(), Predictions::default(), Scratch::default());
    let expected = batch.to_f64();
    for (row, expected) in view.rows().into_iter().zip(expected.chunks(batch.n_columns())) {
        let row: &[f64] = row.to_slice().expect("rows of this view are contiguous");
        model.predict_into(row, &mut prediction, &mut scratch)?;
        print!("value {:?}", prediction.values());
        if let Some(classifier) = &classifier {
            classifier.predict_into(row, &mut label, &mut scratch)?;
            print!("  label {:?}", label.values());
        }
        println!();
        assert_eq!(prediction.to_f64(), expected, "a row has the same bits alone as in a batch");
    }
    Ok(())
}

/// Rows of a CSV file with a header line; an empty field is a missing value.
fn read_rows(path: &Path) -> Result<Array2<f64>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    let mut lines = text.lines();
    let n_columns = lines.next().unwrap_or_default().split(',').count();
    let field = |field: &str| if field.is_empty() { Ok(f64::NAN) } else { field.parse() };
    let values = lines.flat_map(|line| line.split(',')).map(field).collect::<Result<Vec<f64>, _>>()?;
    Ok(Array2::from_shape_vec((values.len() / n_columns, n_columns), values)?)
}
