//! XGBoost's JSON: like the standard's, but `NaN`, `Infinity` and `-Infinity` are numbers and `\u` is not an escape
//! (XGBoost `src/common/json.cc`).

use super::document::{Document, MAX_NESTING, Number, check_keys};
use crate::error::Result;

pub(super) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Json<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
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

    /// A number or word up to the next delimiter.
    fn token(&mut self) -> Result<&'a str> {
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

fn not_a_number(token: &str) -> String {
    let short: String = token.chars().take(24).collect();
    format!("{short:?} is not a number of the kind expected")
}

impl<'a> Document<'a> for Json<'a> {
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Result<()>) -> Result<()> {
        let mut more = self.open(b'{', b'}')?;
        self.depth += 1;
        let mut keys = Vec::new();
        while more {
            let key = self.raw_string()?;
            keys.push(key);
            self.expect(b':')?;
            field(self, key)?;
            more = self.more(b'}')?;
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
        let mut chars = raw.chars();
        while let Some(c) = chars.next() {
            match (c, c == '\\') {
                (_, true) => match chars.next() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('b') => text.push('\u{8}'),
                    Some('f') => text.push('\u{c}'),
                    Some('u') => text.push_str("\\u"),
                    Some(other) => text.push(other),
                    None => {}
                },
                (c, false) => text.push(c),
            }
        }
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

    fn position(&self) -> usize {
        self.at
    }

    fn seek(&mut self, position: usize) {
        self.at = position;
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

    fn floats(text: &str) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        Json::new(text.as_bytes()).numbers(&mut out)?;
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
        Json::new(b"[1,-1,2147483647,1E0]").numbers(&mut integers).unwrap();
        assert_eq!(integers, [1, -1, i32::MAX, 1]);
        assert!(Json::new(b"2147483648").number::<i32>().is_err() && Json::new(b"1.5").number::<i32>().is_err());
    }

    #[test]
    fn skips_anything_and_finds_its_way_back() {
        let text = br#"{"a":[1,[2,"]"],{"b":"}\""}],"c":[1,2,3],"d":{},"e":[],"f":"x\\"}"#;
        let (mut json, mut keys) = (Json::new(text), Vec::new());
        json.object(|json, key| {
            keys.push(key);
            json.skip()
        })
        .unwrap();
        assert_eq!(keys, ["a", "c", "d", "e", "f"]);
        json.end().unwrap();
    }

    #[test]
    fn strings_keep_what_xgboost_keeps() {
        assert_eq!(Json::new(br#""a\"b\\\n\u00e9""#).text().unwrap(), "a\"b\\\n\\u00e9");
        assert!(Json::new(br#""open"#).text().is_err());
        assert!(Json::new(b"\"ends in a backslash\\").text().is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(100_000);
        let error = Json::new(deep.as_bytes()).skip().unwrap_err().to_string();
        assert_eq!(error, "byte 65: nested more than 64 deep");
    }
}
