//! CSV rows: an optional header, fields that are numbers, categories or missing, columns matched to the model's
//! features.
//!
//! Records are read one by one with a bound on their length. Every error names the line.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use ndarray::ArrayView2;
use sawmill::{Column, Feature, FeatureKind, Schema, Unseen};

use super::typed::{Cells, is_typed};

/// Longest record; more than that is a quote left open.
const MAX_RECORD_BYTES: u64 = 64 << 20;

/// Records of a CSV file, with line numbers. Blank lines are skipped.
pub struct Records {
    reader: Reader<Bounded>,
    record: ByteRecord,
    line: u64,
    /// Whether blank lines stand before the record last read.
    after_blank: bool,
    total_bytes: Option<u64>,
}

/// A reader that fails when one record takes too many bytes.
struct Bounded {
    inner: Box<dyn Read>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("a record of more than 64 MiB; is a quote left open?"));
        }
        let n = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

impl Records {
    /// Records of `inner`, which has `total_bytes` if that is known.
    pub fn new(inner: Box<dyn Read>, total_bytes: Option<u64>) -> Self {
        // A last line without its end would be counted differently from the others.
        let inner = Box::new(inner.chain(&b"\n"[..]));
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(1 << 18)
            // Lines end with \n; a \r before it is trimmed with the other blanks around a field.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Bounded { inner, left: MAX_RECORD_BYTES });
        Self { reader, record: ByteRecord::new(), line: 0, after_blank: false, total_bytes }
    }

    /// Reads the next record; false at the end.
    pub fn advance(&mut self) -> Result<bool> {
        let next_line = self.reader.position().line();
        loop {
            self.reader.get_mut().left = MAX_RECORD_BYTES;
            let more = self.reader.read_byte_record(&mut self.record);
            if !more.with_context(|| format!("after line {}", self.line))? {
                return Ok(false);
            }
            let newlines = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.line = self.reader.position().line() - 1 - newlines;
            let blank = self.record.len() == 1 && &self.record[0] == b"\r";
            if !blank {
                self.after_blank = self.line > next_line;
                return Ok(true);
            }
        }
    }

    /// The record last read.
    pub fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// The line it starts on, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }
}

/// The number a field holds; missing ones are NaN.
pub fn number<T: std::str::FromStr + From<f32>>(field: &[u8]) -> Option<T> {
    let field = field.trim_ascii();
    if ["", "na", "nan", "null"].iter().any(|name| field.eq_ignore_ascii_case(name.as_bytes())) {
        return Some(f32::NAN.into());
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Whether some field is text, as in a header.
pub fn has_text(record: &ByteRecord) -> bool {
    record.iter().any(|field| number::<f64>(field).is_none())
}

/// A field as messages show it.
pub fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field.trim_ascii());
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

/// Rows of a CSV file as a model takes them.
pub struct CsvRows {
    records: Records,
    /// Whether the record last read is a row that has not been taken.
    pending: bool,
    columns: Columns,
    values: Vec<f64>,
    /// For every feature its cells, if some are no numbers.
    cells: Vec<Cells>,
}

/// Which field of a record is which feature.
pub struct Columns {
    /// Fields of every record.
    n_fields: usize,
    /// For every feature, the position of its field.
    pub fields: Vec<usize>,
    /// For every feature, what messages call its column.
    pub names: Vec<String>,
    /// For every feature, how it is read.
    pub features: Vec<Feature>,
}

impl CsvRows {
    /// Reads the first record and matches the columns to the features of `schema`.
    pub fn new(mut records: Records, name: &str, schema: &Schema) -> Result<Self> {
        ensure!(records.advance()?, "the {} is empty", if name == "stdin" { "input" } else { "file" });
        let typed = is_typed(schema);
        // Where text is data, only names tell a header.
        let names_any = || records.record().iter().any(|field| feature_called(field, schema).is_some());
        let is_header = match typed {
            true => names_any(),
            false => has_text(records.record()) || names_features(records.record(), schema),
        };
        if is_header && let Some(field) = misplaced_text(records.record(), schema) {
            bail!("line {}: {field} is neither a number nor the name of a column", records.line());
        }
        let columns = Columns::new(records.record(), is_header, name, schema)?;
        let cells = if typed { schema.features.iter().map(Cells::of).collect() } else { Vec::new() };
        Ok(Self { records, pending: !is_header, columns, values: Vec::new(), cells })
    }

    /// Whether rows are columns of several types.
    pub fn is_typed(&self) -> bool {
        !self.cells.is_empty()
    }

    /// As [`next_chunk`](Self::next_chunk), as columns of several types.
    pub fn next_columns(&mut self, max_rows: usize) -> Result<(usize, Vec<Column<'_>>)> {
        self.cells.iter_mut().for_each(Cells::clear);
        let mut n_rows = 0;
        while n_rows < max_rows {
            if !std::mem::take(&mut self.pending) && !self.records.advance()? {
                break;
            }
            self.columns.read_cells(&self.records, &mut self.cells)?;
            n_rows += 1;
        }
        Ok((n_rows, self.cells.iter().map(Cells::column).collect()))
    }

    /// Numbers in a row.
    pub fn n_columns(&self) -> usize {
        self.columns.fields.len()
    }

    /// The next rows, at most `max_rows`; none at the end.
    pub fn next_chunk(&mut self, max_rows: usize) -> Result<ArrayView2<'_, f64>> {
        self.values.clear();
        let mut n_rows = 0;
        while n_rows < max_rows {
            if !std::mem::take(&mut self.pending) && !self.records.advance()? {
                break;
            }
            self.columns.read(&self.records, &mut self.values)?;
            n_rows += 1;
        }
        Ok(ArrayView2::from_shape((n_rows, self.columns.fields.len()), &self.values)?)
    }

    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.records.reader.position().byte(), self.records.total_bytes)
    }
}

impl Columns {
    /// Matches the fields of the first record of a file called `name`.
    pub fn new(first: &ByteRecord, is_header: bool, name: &str, schema: &Schema) -> Result<Self> {
        let features = schema.features.clone();
        let n_fields = first.len();
        if is_header && let Some(fields) = by_name(first, name, schema)? {
            let names = fields.iter().map(|&field| shown(&first[field])).collect();
            return Ok(Self { n_fields, fields, names, features });
        }
        if n_fields != schema.n_features() {
            let hint = separator_hint(first);
            bail!("{n_fields} columns, but the model has {} features{hint}", schema.n_features());
        }
        let column = |(at, feature): (usize, &sawmill::Feature)| match &feature.name {
            _ if is_header => shown(&first[at]),
            Some(name) => shown(name.as_bytes()),
            None => (at + 1).to_string(),
        };
        let names = schema.features.iter().enumerate().map(column).collect();
        Ok(Self { n_fields, fields: (0..n_fields).collect(), names, features })
    }

    /// Adds the row of the record last read to `cells`.
    fn read_cells(&self, records: &Records, cells: &mut [Cells]) -> Result<()> {
        let line = records.line();
        self.check(records)?;
        for ((cells, &field), column) in cells.iter_mut().zip(&self.fields).zip(&self.names) {
            cells.push(&records.record()[field]).with_context(|| format!("line {line}, column {column}"))?;
        }
        Ok(())
    }

    /// Checks the number of fields of the record last read.
    fn check(&self, records: &Records) -> Result<()> {
        let (record, line) = (records.record(), records.line());
        if record.len() != self.n_fields {
            bail!("line {line}: {} fields, but the first line has {}", record.len(), self.n_fields);
        }
        if self.n_fields == 1 && records.after_blank && line > 1 {
            bail!("line {}: blank; a missing value is written NA", line - 1);
        }
        Ok(())
    }

    /// Adds the row of the record last read to `values`.
    fn read(&self, records: &Records, values: &mut Vec<f64>) -> Result<()> {
        let (record, line) = (records.record(), records.line());
        self.check(records)?;
        for (feature, &field) in self.fields.iter().enumerate() {
            let value = read(&self.features[feature], &record[field]);
            let column = &self.names[feature];
            values.push(value.with_context(|| format!("line {line}, column {column}"))?);
        }
        Ok(())
    }
}

/// What a row holds for a field: a number, or the code of a category where the model stores its categories. A category
/// may be called as missing values are.
fn read(feature: &Feature, field: &[u8]) -> Result<f64> {
    let Some(categories) = &feature.categories else {
        let hint = if feature.kind == FeatureKind::Category { " (categories are given by their codes)" } else { "" };
        return number(field).with_context(|| format!("{} is not a number{hint}", shown(field)));
    };
    let text = std::str::from_utf8(field).with_context(|| format!("{} is not UTF-8", shown(field)))?;
    match (categories.code(text.into()), number::<f64>(field)) {
        (Some(code), _) => Ok(code.into()),
        (None, Some(missing)) if missing.is_nan() => Ok(missing),
        (None, _) if categories.unseen() == Unseen::Missing => Ok(f64::NAN),
        (None, number) => {
            let first: Vec<_> = categories.values().iter().take(5).map(ToString::to_string).collect();
            let more = if categories.values().len() > 5 { ", …" } else { "" };
            let hint = if number.is_some() { " (codes are read with --category-codes)" } else { "" };
            bail!("{} is no category of the model: {}{more}{hint}", shown(field), first.join(", "))
        }
    }
}

/// Whether the fields are the names of features, each another: a header, even if the names look like numbers.
fn names_features(record: &ByteRecord, schema: &Schema) -> bool {
    let mut features: Vec<_> = record.iter().map(|field| feature_called(field, schema)).collect();
    features.sort_unstable();
    features.dedup();
    features.len() == record.len() && features.iter().all(Option::is_some)
}

/// In a first line of numbers and text that names no feature, the text: more likely a typing error than a header.
fn misplaced_text(record: &ByteRecord, schema: &Schema) -> Option<String> {
    let is_number = |field: &[u8]| number::<f64>(field).is_some_and(|value| !value.is_nan());
    let names_any = record.iter().any(|field| feature_called(field, schema).is_some());
    if names_any || !record.iter().any(is_number) {
        return None;
    }
    record.iter().find(|field| number::<f64>(field).is_none()).map(shown)
}

/// For every feature the field of the header that names it; `None` if the model does not name its features.
fn by_name(header: &ByteRecord, file: &str, schema: &Schema) -> Result<Option<Vec<usize>>> {
    let mut fields = vec![None; schema.n_features()];
    let mut ignored = Vec::new();
    for (at, field) in header.iter().enumerate() {
        match feature_called(field, schema) {
            None => ignored.push(shown(field)),
            Some(feature) if fields[feature].is_some() => bail!("column {} appears twice", shown(field)),
            Some(feature) => fields[feature] = Some(at),
        }
    }
    let named = schema.features.iter().any(|feature| feature.name.is_some());
    if !named || ignored.len() == header.len() && has_automatic_names(schema) {
        return Ok(None);
    }
    let missing: Vec<usize> = (0..fields.len()).filter(|&feature| fields[feature].is_none()).collect();
    if let Some(&first) = missing.first() {
        let name = schema.features[first].name.as_deref().unwrap_or_default();
        let more = match missing.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        bail!("no column for feature {}{more}{}", shown(name.as_bytes()), separator_hint(header));
    }
    if !ignored.is_empty() {
        let columns = if ignored.len() == 1 { "column is no feature" } else { "columns are no features" };
        let list = ignored[..ignored.len().min(5)].join(", ");
        let more = if ignored.len() > 5 { ", …" } else { "" };
        crate::complain(&format!("warning: {file}: {} {columns} and ignored: {list}{more}", ignored.len()));
    }
    Ok(Some(fields.into_iter().flatten().collect()))
}

/// What to say of a first line that looks as if something else than commas separated its fields.
fn separator_hint(first: &ByteRecord) -> &'static str {
    match &first[0] {
        line if first.len() == 1 && line.contains(&b';') => "; fields are separated by commas, not semicolons",
        line if first.len() == 1 && line.contains(&b'\t') => "; fields are separated by commas, not tabs",
        _ => "",
    }
}

/// The feature a header field names. LightGBM stores names with `_` for blanks, so these count as equal.
fn feature_called(field: &[u8], schema: &Schema) -> Option<usize> {
    let name = std::str::from_utf8(field).ok()?;
    let trimmed = name.trim();
    schema
        .position(name)
        .or_else(|| schema.position(trimmed))
        .or_else(|| schema.position(&trimmed.replace(char::is_whitespace, "_")))
}

/// Whether the features have the names LightGBM makes up for a model that was trained without: they say no more than
/// the position.
fn has_automatic_names(schema: &Schema) -> bool {
    let automatic = |(at, feature): (usize, &sawmill::Feature)| feature.name == Some(format!("Column_{at}"));
    schema.features.iter().enumerate().all(automatic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &'static str) -> Records {
        Records::new(Box::new(text.as_bytes()), None)
    }

    fn lines(text: &'static str) -> Vec<(u64, Vec<String>)> {
        let mut records = records(text);
        let mut all = Vec::new();
        while records.advance().unwrap() {
            let fields = records.record().iter().map(|field| String::from_utf8_lossy(field.trim_ascii()).into_owned());
            all.push((records.line(), fields.collect()));
        }
        all
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        let expected =
            |lines: &[u64]| -> Vec<_> { lines.iter().map(|&line| (line, vec!["1".to_owned(), "2".into()])).collect() };
        assert_eq!(lines("1,2\n1,2\n1,2"), expected(&[1, 2, 3]));
        assert_eq!(lines("1,2\r\n1,2\r\n1,2\r\n"), expected(&[1, 2, 3]));
        assert_eq!(lines("\u{feff}1,2\n\n1,2\n\r\n1,\"2\"\r\n"), expected(&[1, 3, 5]));
        assert_eq!(
            lines("\"1\",2\n\"a\nb\",c\n1,2")[1..],
            [(2, vec!["a\nb".to_owned(), "c".to_owned()]), (4, vec!["1".to_owned(), "2".to_owned()])]
        );
        assert!(lines("").is_empty() && lines("\u{feff}\n\r\n").is_empty());
    }

    #[test]
    fn an_open_quote_does_not_eat_all_memory() {
        let endless = io::repeat(b'1').take(MAX_RECORD_BYTES * 2);
        let mut records = Records::new(Box::new(b"\"".chain(endless)), None);
        assert!(format!("{:#}", records.advance().unwrap_err()).contains("quote left open"));
    }

    #[test]
    fn a_blank_line_in_a_single_column_is_no_row_and_no_secret() {
        let rows = |text| {
            let mut rows = CsvRows::new(records(text), "rows.csv", &Schema::new(1, 1)).unwrap();
            rows.next_chunk(10).map(|rows| rows.nrows()).map_err(|error| error.to_string())
        };
        assert_eq!(rows("x\n1\n\"\"\nNA\n\n"), Ok(3));
        assert_eq!(rows("1\r\n2\r\n\r\n"), Ok(2));
        for text in ["1\n\n2\n", "1\r\n\r\n2\r\n"] {
            assert_eq!(rows(text), Err("line 2: blank; a missing value is written NA".to_owned()));
        }
    }

    #[test]
    fn numbers() {
        let read = |text: &str| number::<f64>(text.as_bytes());
        assert_eq!(read(" 1.5 "), Some(1.5));
        assert_eq!(read("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(read("Infinity"), Some(f64::INFINITY));
        assert_eq!(read("+1E3"), Some(1000.0));
        assert_eq!(read(".5"), Some(0.5));
        for missing in ["", " ", "NA", "na", "NaN", "nan", "-nan", "NULL", "null"] {
            assert!(read(missing).is_some_and(f64::is_nan), "{missing:?}");
        }
        for text in ["abc", "1 2", "0x10", "1_000", "None", "true", "1,5"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
