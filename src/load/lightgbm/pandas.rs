//! `pandas_categorical`: for each category column of the data frame a model was trained on, its categories in the
//! order of their codes, as Python's `json` writes them.

use crate::error::{Error, Result};
use crate::load::document::Document;
use crate::load::json::{Json, UnicodeEscapes};
use crate::schema::Category;

/// What stands at the end of a text file, after everything else.
pub(super) fn of_text(bytes: &[u8]) -> Result<Vec<Vec<Category>>> {
    let text = bytes.trim_ascii_end();
    let line = &text[memchr::memrchr(b'\n', text).map_or(0, |end| end + 1)..];
    let Some(lists) = line.strip_prefix(b"pandas_categorical:") else { return Ok(Vec::new()) };
    let mut json = Json::new(lists, UnicodeEscapes::Decoded);
    let read = read(&mut json).and_then(|lists| json.end().map(|()| lists));
    read.map_err(|error| error.at("pandas_categorical"))
}

/// A list of lists, or `null`.
pub(super) fn read(json: &mut Json<'_>) -> Result<Vec<Vec<Category>>> {
    let mut lists = Vec::new();
    if json.at_array() {
        json.array(|json| {
            let mut list = Vec::new();
            json.array(|json| {
                list.push(category(json)?);
                Ok(())
            })?;
            lists.push(list);
            Ok(())
        })?;
    } else if json.token()? != "null" {
        return Err(Error::invalid_model("neither a list nor null"));
    }
    Ok(lists)
}

fn category(json: &mut Json<'_>) -> Result<Category> {
    if json.at_text() {
        return json.text().map(Category::Text);
    }
    let token = json.token()?;
    let number = || token.parse().map(Category::Integer).or_else(|_| token.parse().map(Category::Float));
    match token {
        "true" => Ok(Category::Bool(true)),
        "false" => Ok(Category::Bool(false)),
        _ => number().map_err(|_| json.error("a category that is neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_python_writes_them() {
        let lists =
            of_text(b"x=1\n\npandas_categorical:[[\"gr\\u00fcn\", \"\"], [10, -3], [0.5], [true, false], []]\n");
        let text = |text: &str| Category::Text(text.to_owned());
        let expected = [
            vec![text("grün"), text("")],
            vec![Category::Integer(10), Category::Integer(-3)],
            vec![Category::Float(0.5)],
            vec![Category::Bool(true), Category::Bool(false)],
            vec![],
        ];
        assert_eq!(lists.unwrap(), expected);
        assert_eq!(of_text(b"pandas_categorical:null\r\n").unwrap(), Vec::<Vec<Category>>::new());
        assert_eq!(of_text(b"end of parameters\n").unwrap(), Vec::<Vec<Category>>::new());
        for broken in ["[[1]", "[1]", "[[null]]", "[[nope]]", "[[1]] 2", ""] {
            assert!(of_text(format!("pandas_categorical:{broken}").as_bytes()).is_err(), "{broken}");
        }
    }
}
