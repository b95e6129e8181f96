//! CatBoost JSON made by hand: what is refused, and by which name.

use sawmill::{Error, Format, Model, Output};

/// Two numbers and a category (feature 1, hash of "4") under one oblivious tree of two splits.
const MODEL: &str = r#"{"features_info":{"float_features":[{"borders":[0.5],"feature_id":"a","feature_index":0,"flat_feature_index":0,"has_nans":false,"nan_value_treatment":"AsIs"}],"categorical_features":[{"feature_id":"c","feature_index":0,"flat_feature_index":1,"values":[-78686594]}]},"model_info":{"catboost_version_info":"Git info:\n    Branch: tags/v1.2.10\n","params":{"loss_function":{"params":{},"type":"RMSE"}}},"oblivious_trees":[{"leaf_values":[1,2,4,8],"splits":[{"border":0.5,"float_feature_index":0,"split_index":0,"split_type":"FloatFeature"},{"cat_feature_index":0,"split_index":1,"split_type":"OneHotFeature","value":-78686594}]}],"scale_and_bias":[2,[0.25]]}"#;

fn load(edits: &[(&str, &str)]) -> sawmill::Result<Model> {
    let mut text = MODEL.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    Model::options().from_slice(Format::CatBoostJson, text.as_bytes())
}

fn refusal(edits: &[(&str, &str)]) -> Error {
    load(edits).expect_err("refused")
}

const LEAVES: &str = "\"leaf_values\":[1,2,4,8]";
const LOSS: &str = "\"type\":\"RMSE\"";

#[test]
fn the_small_model_is_a_model() {
    assert_eq!(Format::detect(MODEL.as_bytes()).unwrap(), Format::CatBoostJson);
    let model = load(&[]).unwrap();
    let rows = [0.5f64, 3.0, 0.6, 3.0, 0.5, 4.0, 0.6, 4.0, f64::NAN, f64::NAN, 0.6, 4.5];
    assert_eq!(model.predict(&rows).unwrap().to_f64(), [2.25, 4.25, 8.25, 16.25, 2.25, 4.25]);
    assert_eq!(model.source().producer, "CatBoost 1.2.10");
    assert_eq!(model.schema().features[1].name.as_deref(), Some("c"));
}

#[test]
fn a_bias_is_added_to_a_sum_from_the_first_tree_only() {
    let tree = r#"{"leaf_values":[16],"splits":[]}"#;
    let text = MODEL.replace("}]}],\"scale", &format!("}}]}},{tree}],\"scale"));
    let predict = |options: sawmill::ModelOptions| {
        options.from_slice(Format::CatBoostJson, text.as_bytes()).unwrap().predict(&[0.0, 0.0]).unwrap().to_f64()
    };
    assert_eq!(predict(Model::options()), [34.25]);
    assert_eq!(predict(Model::options().iterations(..1)), [2.25]);
    assert_eq!(predict(Model::options().iterations(1..)), [32.0]);
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    for (edits, expected) in [
        (&[(LOSS, "\"type\":\"RMSEWithUncertainty\"")][..], "loss function \"RMSEWithUncertainty\" is not supported"),
        (&[("\"AsIs\"", "\"AsMean\"")], "nan_value_treatment \"AsMean\" is not supported"),
        (&[("\"FloatFeature\"", "\"Estimated\"")], "tree 0: split_type \"Estimated\" is not supported"),
        (
            &[("\"values\":[-78686594]", "\"values\":[-1440182944]"), ("\"value\":-78686594", "\"value\":-1440182944")],
            "tree 0: a category of hash -1440182944 is no whole number below 16777216, and rows are numbers; train on category codes",
        ),
        (
            &[("\"params\":{\"loss", "\"binclass_probability_threshold\":0.3,\"params\":{\"loss")],
            "a probability threshold (set_probability_threshold) is not supported",
        ),
    ] {
        let error = refusal(edits);
        assert_eq!(error.to_string(), expected);
        assert!(error.is_unsupported(), "{error:?}");
    }
    for edits in [
        &[("\"OneHotFeature\"", "\"OnlineCtr\"")][..],
        &[("\"scale_and_bias\"", "\"ctr_data\":{},\"scale_and_bias\"")],
        &[("\"categorical_features\"", "\"ctrs\":[],\"categorical_features\"")],
    ] {
        let error = refusal(edits);
        assert!(error.is_unsupported() && error.to_string().contains("CTR features"), "{error:?}");
    }
    let cbm = Format::detect(b"CBM1\0\0").unwrap_err();
    assert!(cbm.is_unsupported() && cbm.to_string().contains("format=\"json\""), "{cbm}");
    let labels = Model::options().output(Output::Label).from_slice(Format::CatBoostJson, MODEL.as_bytes());
    assert!(labels.unwrap_err().is_option());
}

#[test]
fn contradictions_are_named() {
    for (edits, expected) in [
        (&[(LEAVES, "\"leaf_values\":[1,2,4]")][..], "tree 0: 3 leaf_values for 2 splits and 1 outputs"),
        (
            &[("\"float_feature_index\":0", "\"float_feature_index\":1")],
            "tree 0: float_feature_index 1, but there are 1",
        ),
        (&[("\"value\":-78686594", "\"value\":5")], "tree 0: category 5 is none of feature 0"),
        (&[("\"border\":0.5,", "")], "tree 0: a split without border"),
        (&[("\"flat_feature_index\":1", "\"flat_feature_index\":0")], "two features of flat_feature_index 0"),
        (&[("[2,[0.25]]", "[2,[]]")], "the model has no scale_and_bias"),
        (&[("[2,[0.25]]", "[2,[0.25,1]]")], "2 outputs for a loss of one"),
        (&[("\"oblivious_trees\"", "\"other_trees\"")], "the model has no oblivious_trees"),
        (&[("\"oblivious_trees\"", "\"trees\":[],\"oblivious_trees\"")], "both oblivious_trees and trees"),
        (&[(LOSS, "\"kind\":\"RMSE\"")], "the model has no loss_function"),
    ] {
        let error = refusal(edits);
        assert_eq!(error.to_string(), expected);
        assert!(error.is_invalid_model(), "{error:?}");
    }
}
