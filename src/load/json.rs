//! JSON as model files have it: `NaN`, `Infinity` and `-Infinity` are numbers, as Python and XGBoost write them.

use super::document::{Document, MAX_NESTING, Number, check_keys};
use crate::error::Result;

pub(in crate::load) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    unicode: UnicodeEscapes,
}

/// What `\u00e9` in a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum UnicodeEscapes {
    /// The six characters themselves, as XGBoost has it (`src/common/json.cc`).
    Kept,
    /// The character of that number, as in the standard.
    Decoded,
}

impl<'a> Json<'a> {
    pub(in crate::load) fn new(bytes: &'a [u8], unicode: UnicodeEscapes) -> Self {
        Self { bytes, at: 0, depth: 0, unicode }
    }

    /// Goes back to a value that was skipped, by its position.
    pub(in crate::load) fn seek(&mut self, position: usize) {
        self.at = position;
    }

    /// Whether the next value is a string.
    pub(in crate::load) fn at_text(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Whether the next value is an array.
    pub(in crate::load) fn at_array(&mut self) -> bool {
        self.peek() == Some(b'[')
    }

    /// Enters an object; whether it has a field. For nesting as deep as the file has it, which
    /// [`object`](Document::object) bounds.
    pub(in crate::load) fn enter(&mut self) -> Result<bool> {
        self.open(b'{', b'}')
    }

    /// The key of the next field of the object entered.
    pub(in crate::load) fn key(&mut self) -> Result<&'a str> {
        let key = self.raw_string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Whether the object entered has another field; if not, it is left.
    pub(in crate::load) fn more_fields(&mut self) -> Result<bool> {
        self.more(b'}')
    }

    /// The next byte that is not white space, which stays.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        match self.peek() {
            Some(byte) if byte == wanted => {
                self.at += 1;
                Ok(())
            }
            other => Err(self.unexpected(other, &format!("{:?}", char::from(wanted)))),
        }
    }

    fn unexpected(&self, found: Option<u8>, wanted: &str) -> crate::Error {
        match found {
            Some(byte) => self.error(format!("found {:?} where {wanted} is expected", char::from(byte))),
            None => self.error(format!("the file ends where {wanted} is expected")),
        }
    }

    /// Whether another item follows, after the first; consumes the comma or the closing bracket.
    fn more(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            other => Err(self.unexpected(other, &format!("',' or {:?}", char::from(close)))),
        }
    }

    /// Consumes `open`; whether there is any item before `close`.
    fn open(&mut self, open: u8, close: u8) -> Result<bool> {
        self.expect(open)?;
        if self.depth == MAX_NESTING {
            return Err(self.error(format!("nested more than {MAX_NESTING} deep")));
        }
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// The bytes between two quotes, escapes as they stand.
    fn raw_string(&mut self) -> Result<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(self.error("the file ends within a string")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        let raw = &self.bytes[start..self.at];
        let text = std::str::from_utf8(raw).map_err(|_| self.error("a string that is not UTF-8"))?;
        self.at += 1;
        Ok(text)
    }

    /// Whether the next value is `null`.
    pub(super) fn is_null(&mut self) -> bool {
        self.peek() == Some(b'n')
    }

    /// One number, or an array of them; appended.
    pub(super) fn number_or_numbers<T: Number>(&mut self, out: &mut Vec<T>) -> Result<()> {
        if self.peek() == Some(b'[') {
            return self.numbers(out);
        }
        out.push(self.number()?);
        Ok(())
    }

    /// An array of texts.
    pub(super) fn texts(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        self.array(|json| {
            texts.push(json.text()?);
            Ok(())
        })?;
        Ok(texts)
    }

    /// A number or word up to the next delimiter.
    pub(in crate::load) fn token(&mut self) -> Result<&'a str> {
        self.peek();
        let rest = &self.bytes[self.at..];
        let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\t' | b'\r' | b':' | b'"');
        let len = rest.iter().position(is_end).unwrap_or(rest.len());
        match std::str::from_utf8(&rest[..len]) {
            Ok(token) if len > 0 => {
                self.at += len;
                Ok(token)
            }
            _ => Err(self.unexpected(rest.first().copied(), "a number")),
        }
    }
}

/// The number a token spells.
fn number<T: Number>(token: &str) -> Option<T> {
    let (first, last) = (token.bytes().next()?, token.bytes().next_back()?);
    match token {
        // Rust would take "-inf" and "-nan" too.
        _ if (first.is_ascii_digit() || first == b'-') && last.is_ascii_digit() => T::parse(token),
        "NaN" => T::from_f64(f64::NAN),
        "Infinity" => T::from_f64(f64::INFINITY),
        "-Infinity" => T::from_f64(f64::NEG_INFINITY),
        "true" => T::from_i64(1),
        "false" => T::from_i64(0),
        _ => None,
    }
}

/// The character after a `\u`, which may be two of them, and what follows.
fn unicode(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
    let (first, rest) = (unit(text)?, &text[4..]);
    if let Some(c) = char::from_u32(first.into()) {
        return Some((c, rest));
    }
    let second = unit(rest.strip_prefix("\\u")?)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, &rest[6..]))
}

fn not_a_number(token: &str) -> String {
    let short: String = token.chars().take(24).collect();
    format!("{short:?} is not a number of the kind expected")
}

impl Document for Json<'_> {
    /// Where it starts.
    type Passed = usize;

    fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        let mut more = self.open(b'{', b'}')?;
        self.depth += 1;
        let mut keys = Vec::new();
        while more {
            let key = self.key()?;
            keys.push(key);
            field(self, key)?;
            more = self.more_fields()?;
        }
        self.depth -= 1;
        check_keys(&mut keys).map_err(|error| error.at(format!("byte {}", self.at)))
    }

    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let mut more = self.open(b'[', b']')?;
        self.depth += 1;
        while more {
            element(self)?;
            more = self.more(b']')?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn numbers<T: Number>(&mut self, out: &mut Vec<T>) -> Result<()> {
        if !self.open(b'[', b']')? {
            return Ok(());
        }
        // Numbers hold no bracket, so the next one ends the array; nearly all of a model is read by this loop.
        let rest = &self.bytes[self.at..];
        let end = memchr::memchr(b']', rest).ok_or_else(|| self.error("the file ends within an array"))?;
        let items = std::str::from_utf8(&rest[..end]).map_err(|_| self.error("an array that is not of numbers"))?;
        let mut from = 0;
        loop {
            let len = items.as_bytes()[from..].iter().position(|&byte| byte == b',').unwrap_or(end - from);
            let token = items[from..from + len].trim_ascii();
            match number(token) {
                Some(number) => out.push(number),
                None => {
                    self.at += from;
                    return Err(self.error(not_a_number(token)));
                }
            }
            from += len + 1;
            if from > end {
                self.at += end + 1;
                return Ok(());
            }
        }
    }

    fn number<T: Number>(&mut self) -> Result<T> {
        let start = self.at;
        let token = self.token()?;
        number(token).ok_or_else(|| {
            self.at = start;
            self.error(not_a_number(token))
        })
    }

    fn text(&mut self) -> Result<String> {
        if self.peek() != Some(b'"') {
            return Ok(self.token()?.to_owned());
        }
        let raw = self.raw_string()?;
        if !raw.contains('\\') {
            return Ok(raw.to_owned());
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find('\\') {
            text.push_str(&rest[..at]);
            let escape =
                rest[at + 1..].chars().next().ok_or_else(|| self.error("a string that ends in a backslash"))?;
            rest = &rest[at + 1 + escape.len_utf8()..];
            match escape {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'u' if self.unicode == UnicodeEscapes::Kept => text.push_str("\\u"),
                'u' => {
                    let (c, after) = unicode(rest).ok_or_else(|| self.error("a \\u that is no character"))?;
                    text.push(c);
                    rest = after;
                }
                other => text.push(other),
            }
        }
        text.push_str(rest);
        Ok(text)
    }

    fn skip(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.raw_string().map(drop),
            Some(b'{') => self.object(|json, _| json.skip()),
            Some(b'[') => {
                // Most of a model is arrays of numbers that predictions do not need.
                let start = self.at;
                self.at += 1;
                if !matches!(self.peek(), Some(b'"' | b'[' | b'{'))
                    && let Some(end) = memchr::memchr3(b']', b'"', b'[', &self.bytes[self.at..])
                    && self.bytes[self.at + end] == b']'
                {
                    self.at += end + 1;
                    return Ok(());
                }
                self.at = start;
                self.array(Self::skip)
            }
            _ => self.token().map(drop),
        }
    }

    fn pass(&mut self) -> Result<usize> {
        let start = self.at;
        self.skip()?;
        Ok(start)
    }

    fn numbers_of<T: Number>(&mut self, passed: usize, out: &mut Vec<T>) -> Result<()> {
        let end = std::mem::replace(&mut self.at, passed);
        self.numbers(out)?;
        self.at = end;
        Ok(())
    }

    fn position(&self) -> usize {
        self.at
    }

    fn end(&mut self) -> Result<()> {
        match self.peek() {
            None | Some(0) => Ok(()),
            other => Err(self.unexpected(other, "the end of the file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> Json<'_> {
        Json::new(bytes, UnicodeEscapes::Kept)
    }

    fn floats(text: &str) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        json(text.as_bytes()).numbers(&mut out)?;
        Ok(out)
    }

    #[test]
    fn reads_the_numbers_that_xgboost_writes() {
        let read = floats("[5E-1, -0E0,1.17549435E-38 ,3, true,Infinity,-Infinity]").unwrap();
        assert_eq!(read, [0.5, -0.0, 1.175_494_4e-38, 3.0, 1.0, f32::INFINITY, f32::NEG_INFINITY]);
        assert!(floats("[NaN]").unwrap()[0].is_nan());
        for junk in
            ["[inf]", "[nan]", "[\"1\"]", "[1 2]", "[1,]", "[,1]", "[1", "[+1]", "[0x1]", "[null]", "[-inf]", "7"]
        {
            assert!(floats(junk).is_err(), "{junk}");
        }
        let mut integers = Vec::<i32>::new();
        json(b"[1,-1,2147483647,1E0]").numbers(&mut integers).unwrap();
        assert_eq!(integers, [1, -1, i32::MAX, 1]);
        assert!(json(b"2147483648").number::<i32>().is_err() && json(b"1.5").number::<i32>().is_err());
    }

    #[test]
    fn skips_anything_and_finds_its_way_back() {
        let text = br#"{"a":[1,[2,"]"],{"b":"}\""}],"c":[1,2,3],"d":{},"e":[],"f":"x\\"}"#;
        let (mut document, mut keys) = (json(text), Vec::new());
        document
            .object(|document, key| {
                keys.push(key.to_owned());
                document.skip()
            })
            .unwrap();
        assert_eq!(keys, ["a", "c", "d", "e", "f"]);
        document.end().unwrap();
    }

    #[test]
    fn strings_keep_what_xgboost_keeps() {
        assert_eq!(json(br#""a\"b\\\n\u00e9""#).text().unwrap(), "a\"b\\\n\\u00e9");
        assert!(json(br#""open"#).text().is_err());
        assert!(json(b"\"ends in a backslash\\").text().is_err());
    }

    #[test]
    fn unicode_escapes_are_decoded_where_the_writer_means_them() {
        let text = |text: &str| Json::new(text.as_bytes(), UnicodeEscapes::Decoded).text();
        assert_eq!(text(r#""gr\u00fcn\ud83c\udf33\u0041!""#).unwrap(), "grün🌳A!");
        for broken in [r#""\u12""#, r#""\ud83c""#, r#""\ud83cx\udf33""#, r#""\udf33""#, r#""\u00é""#] {
            assert!(text(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(100_000);
        let error = json(deep.as_bytes()).skip().unwrap_err().to_string();
        assert_eq!(error, "byte 65: nested more than 64 deep");
    }
}
