//! Regular expressions as ONNX Runtime's tokenizer takes them: RE2's syntax, the longest of the leftmost matches.
//!
//! Crates for regular expressions prefer the first alternative to the longest and have Unicode's classes of characters,
//! where RE2 has ASCII's, so a small matcher stands here: a pattern becomes a program for K. Thompson's simulation (see
//! R. Cox, "Regular Expression Matching: the Virtual Machine Approach"), which takes time in proportion to the text and
//! the program, whatever the pattern is. Syntax that is not known is an error.

use crate::error::{Error, Result};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    program: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Takes one character that is in the class, and goes on with the next step.
    Take(Class),
    /// Goes on at both.
    Fork(usize, usize),
    /// Goes on there.
    Jump(usize),
    /// Goes on with the next step where this holds.
    Assert(Assertion),
    Match,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Assertion {
    Start,
    End,
    /// A word character on just one side, or else on both or none.
    WordEdge(bool),
}

/// Characters: ranges, or all but those.
#[derive(Clone, Debug, Default, PartialEq)]
struct Class {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Class {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|&(low, high)| (low..=high).contains(&c)) != self.negated
    }

    /// The ranges, with the others of Unicode if it is negated.
    fn positive(mut self) -> Vec<(char, char)> {
        if !self.negated {
            return self.ranges;
        }
        self.ranges.sort_unstable();
        let (mut rest, mut next) = (Vec::new(), Some('\0'));
        for (low, high) in self.ranges {
            match next {
                Some(first) if first < low => rest.push((first, before(low))),
                None => break,
                _ => {}
            }
            next = next.and_then(|first| if high >= first { after(high) } else { Some(first) });
        }
        rest.extend(next.map(|first| (first, char::MAX)));
        rest
    }
}

fn before(c: char) -> char {
    char::from_u32(u32::from(c).wrapping_sub(1)).unwrap_or('\u{d7ff}')
}

fn after(c: char) -> Option<char> {
    if c == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(c) + 1) }
}

/// Working memory of a search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads {
    now: Vec<usize>,
    next: Vec<usize>,
    stack: Vec<usize>,
    /// For every step, when it was last put into a list.
    seen: Vec<usize>,
    clock: usize,
}

/// Steps of a program.
const MAX_STEPS: usize = 10_000;
/// Groups within one another.
const MAX_DEPTH: usize = 50;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// For syntax that is wrong or not known here: classes of Unicode, flags.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text, program: Vec::new(), depth: 0 };
        parser
            .alternatives()
            .and_then(|()| if parser.rest.is_empty() { Ok(()) } else { Err(wrong("a ) too many")) })?;
        parser.push(Step::Match)?;
        Ok(Self { program: parser.program })
    }

    /// Where the leftmost match from `from` on is, the longest that begins there.
    pub(crate) fn find(&self, text: &str, from: usize, threads: &mut Threads) -> Option<(usize, usize)> {
        let starts = text[from..].char_indices().map(|(at, _)| from + at).chain([text.len()]);
        starts.filter_map(|start| Some((start, self.longest(text, start, threads)?))).next()
    }

    /// Where the longest match that begins at `start` ends.
    fn longest(&self, text: &str, start: usize, threads: &mut Threads) -> Option<usize> {
        threads.seen.resize(self.program.len().max(threads.seen.len()), 0);
        threads.now.clear();
        threads.clock += 1;
        let mut end = None;
        let mut previous = text[..start].chars().next_back();
        let mut rest = text[start..].char_indices();
        self.spread(0, previous, text[start..].chars().next(), threads);
        loop {
            std::mem::swap(&mut threads.now, &mut threads.next);
            let at = start + rest.offset();
            if threads.next.iter().any(|&step| matches!(self.program[step], Step::Match)) {
                end = Some(at);
            }
            let Some((_, c)) = rest.next().filter(|_| !threads.next.is_empty()) else { return end };
            (previous, threads.clock) = (Some(c), threads.clock + 1);
            threads.now.clear();
            let following = rest.clone().next().map(|(_, c)| c);
            for index in 0..threads.next.len() {
                let step = threads.next[index];
                if matches!(&self.program[step], Step::Take(class) if class.has(c)) {
                    self.spread(step + 1, previous, following, threads);
                }
            }
        }
    }

    /// Puts the steps that are reached from `step` without taking a character into the list.
    fn spread(&self, step: usize, before: Option<char>, after: Option<char>, threads: &mut Threads) {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        threads.stack.push(step);
        while let Some(step) = threads.stack.pop() {
            if std::mem::replace(&mut threads.seen[step], threads.clock) == threads.clock {
                continue;
            }
            match &self.program[step] {
                Step::Fork(a, b) => threads.stack.extend([*b, *a]),
                Step::Jump(to) => threads.stack.push(*to),
                Step::Assert(assertion) => {
                    let holds = match assertion {
                        Assertion::Start => before.is_none(),
                        Assertion::End => after.is_none(),
                        Assertion::WordEdge(edge) => (is_word(before) != is_word(after)) == *edge,
                    };
                    threads.stack.extend(holds.then_some(step + 1));
                }
                Step::Take(_) | Step::Match => threads.now.push(step),
            }
        }
    }
}

fn wrong(finding: &str) -> Error {
    Error::invalid_model(format!("a pattern with {finding}"))
}

fn unknown(finding: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("{finding} in a pattern"))
}

struct Parser<'a> {
    rest: &'a str,
    program: Vec<Step>,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn takes(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn push(&mut self, step: Step) -> Result<()> {
        if self.program.len() >= MAX_STEPS {
            return Err(Error::limit("steps of a pattern", "more", MAX_STEPS));
        }
        self.program.push(step);
        Ok(())
    }

    /// Puts a step at `at`; those from there on move up by one.
    fn insert(&mut self, at: usize, step: Step) -> Result<()> {
        self.push(Step::Match)?;
        self.program.rotate_right(1);
        self.program[..=at].rotate_left(1);
        for moved in &mut self.program[at + 1..] {
            if let Step::Fork(a, b) = moved {
                (*a, *b) = (*a + 1, *b + 1);
            } else if let Step::Jump(to) = moved {
                *to += 1;
            }
        }
        self.program[at] = step;
        Ok(())
    }

    fn alternatives(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::limit("groups within one another", self.depth, MAX_DEPTH));
        }
        let (start, mut jumps) = (self.program.len(), Vec::new());
        let mut first = start;
        self.sequence()?;
        while self.takes("|") {
            let next = self.program.len() + 2;
            self.insert(first, Step::Fork(first + 1, next))?;
            jumps.push(self.program.len());
            self.push(Step::Jump(0))?;
            first = self.program.len();
            self.sequence()?;
        }
        let end = self.program.len();
        jumps.into_iter().for_each(|jump| self.program[jump] = Step::Jump(end));
        self.depth -= 1;
        Ok(())
    }

    fn sequence(&mut self) -> Result<()> {
        while self.peek().is_some_and(|c| c != '|' && c != ')') {
            let start = self.program.len();
            self.atom()?;
            self.repeats(start)?;
        }
        Ok(())
    }

    fn atom(&mut self) -> Result<()> {
        let Some(c) = self.take() else { return Ok(()) };
        let one = |c: char| Class { ranges: vec![(c, c)], negated: false };
        match c {
            '(' => {
                if self.rest.starts_with('?') && !self.takes("?:") {
                    return Err(unknown("a group with a name or with flags"));
                }
                self.alternatives()?;
                if self.takes(")") { Ok(()) } else { Err(wrong("a group that is not closed")) }
            }
            '[' => {
                let class = self.class()?;
                self.push(Step::Take(class))
            }
            // All characters, the end of a line too.
            '.' => self.push(Step::Take(Class { ranges: Vec::new(), negated: true })),
            '^' => self.push(Step::Assert(Assertion::Start)),
            '$' => self.push(Step::Assert(Assertion::End)),
            '*' | '+' | '?' => Err(wrong("a repetition of nothing")),
            '\\' => match self.peek() {
                Some('A') => self.assertion(Assertion::Start),
                Some('z') => self.assertion(Assertion::End),
                Some('b') => self.assertion(Assertion::WordEdge(true)),
                Some('B') => self.assertion(Assertion::WordEdge(false)),
                _ => {
                    let class = self.escape()?;
                    self.push(Step::Take(class))
                }
            },
            c => self.push(Step::Take(one(c))),
        }
    }

    fn assertion(&mut self, assertion: Assertion) -> Result<()> {
        self.take();
        self.push(Step::Assert(assertion))
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Class> {
        let c = self.take().ok_or_else(|| wrong("a \\ at its end"))?;
        let class = |ranges: &[(char, char)], negated| Class { ranges: ranges.to_vec(), negated };
        let one = |c: char| class(&[(c, c)], false);
        Ok(match c {
            'd' | 'D' => class(&[('0', '9')], c == 'D'),
            'w' | 'W' => class(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')], c == 'W'),
            's' | 'S' => class(&[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')], c == 'S'),
            'n' => one('\n'),
            't' => one('\t'),
            'r' => one('\r'),
            'f' => one('\u{c}'),
            'v' => one('\u{b}'),
            'a' => one('\u{7}'),
            c if c.is_ascii_alphanumeric() => return Err(unknown(format!("\\{c}"))),
            c => one(c),
        })
    }

    /// What follows a `[`.
    fn class(&mut self) -> Result<Class> {
        let negated = self.takes("^");
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            if self.rest.starts_with("[:") {
                ranges.extend(self.posix()?);
                first = false;
                continue;
            }
            let c = self.take().ok_or_else(|| wrong("a class that is not closed"))?;
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = match c {
                '\\' => match self.escape()? {
                    Class { ranges: single, negated: false } if single.len() == 1 && single[0].0 == single[0].1 => {
                        single[0].0
                    }
                    several => {
                        ranges.extend(several.positive());
                        continue;
                    }
                },
                c => c,
            };
            let ends = self.rest.strip_prefix('-').is_none_or(|rest| rest.starts_with(']'));
            if ends {
                ranges.push((low, low));
                continue;
            }
            self.take();
            let high = match self.take() {
                Some('\\') => self.escape()?.ranges.first().map(|range| range.1),
                high => high,
            };
            let high = high.filter(|&high| high >= low).ok_or_else(|| wrong("a range that ends before it begins"))?;
            ranges.push((low, high));
        }
        Ok(Class { ranges, negated })
    }

    /// A class such as `[:alpha:]`.
    fn posix(&mut self) -> Result<Vec<(char, char)>> {
        let known: [(&str, &[(char, char)]); 9] = [
            ("[:alpha:]", &[('A', 'Z'), ('a', 'z')]),
            ("[:digit:]", &[('0', '9')]),
            ("[:alnum:]", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
            ("[:lower:]", &[('a', 'z')]),
            ("[:upper:]", &[('A', 'Z')]),
            ("[:space:]", &[('\t', '\r'), (' ', ' ')]),
            ("[:blank:]", &[('\t', '\t'), (' ', ' ')]),
            ("[:punct:]", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
            ("[:word:]", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
        ];
        let found = known.iter().find(|(name, _)| self.takes(name));
        found.map(|(_, ranges)| ranges.to_vec()).ok_or_else(|| unknown("a class of another name"))
    }

    /// The repetitions of what has been written from `start` on. Lazy ones find the longest match too.
    fn repeats(&mut self, start: usize) -> Result<()> {
        let (low, high) = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(start),
            _ => return Ok(()),
        };
        self.take();
        self.takes("?");
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return Err(wrong("a repetition of a repetition"));
        }
        self.repeat(start, low, high)
    }

    fn counted(&mut self, start: usize) -> Result<()> {
        self.take();
        let (bounds, rest) = self.rest.split_once('}').ok_or_else(|| unknown("a { that is no count"))?;
        let number = |text: &str| {
            let number = text.parse::<usize>().ok().filter(|&count| count <= 1000);
            number.ok_or_else(|| unknown(format!("{{{bounds}}}")))
        };
        let (low, high) = match bounds.split_once(',') {
            None => (number(bounds)?, Some(number(bounds)?)),
            Some((low, "")) => (number(low)?, None),
            Some((low, high)) => (number(low)?, Some(number(high)?)),
        };
        if high.is_some_and(|high| high < low) {
            return Err(wrong("a count that ends before it begins"));
        }
        self.rest = rest;
        self.takes("?");
        self.repeat(start, low, high)
    }

    /// Writes what stands from `start` on `low` times, and as often again as `high` allows.
    fn repeat(&mut self, start: usize, low: usize, high: Option<usize>) -> Result<()> {
        let part = self.program.split_off(start);
        let copy = |parser: &mut Self| -> Result<()> {
            let shift = parser.program.len();
            for step in &part {
                let moved = |to: usize| to - start + shift;
                parser.push(match step {
                    Step::Fork(a, b) => Step::Fork(moved(*a), moved(*b)),
                    Step::Jump(to) => Step::Jump(moved(*to)),
                    step => step.clone(),
                })?;
            }
            Ok(())
        };
        for _ in 0..low {
            copy(self)?;
        }
        match high {
            None => {
                let fork = self.program.len();
                self.push(Step::Match)?;
                copy(self)?;
                self.push(Step::Jump(fork))?;
                self.program[fork] = Step::Fork(fork + 1, self.program.len());
            }
            Some(high) => {
                let mut forks = Vec::new();
                for _ in low..high {
                    forks.push(self.program.len());
                    self.push(Step::Match)?;
                    copy(self)?;
                }
                let end = self.program.len();
                forks.into_iter().for_each(|fork| self.program[fork] = Step::Fork(fork + 1, end));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, text: &str) -> Vec<String> {
        let (pattern, mut threads) = (Pattern::parse(pattern).unwrap(), Threads::default());
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some((start, end)) = pattern.find(text, from, &mut threads) {
            if end == start {
                break;
            }
            found.push(text[start..end].to_owned());
            from = end;
        }
        found
    }

    #[test]
    fn the_longest_of_the_leftmost_matches_is_found() {
        for (pattern, text, expected) in [
            ("[a-zA-Z0-9_]+", "it's naïve_1", &["it", "s", "na", "ve_1"][..]),
            ("a|ab", "ab abc", &["ab", "ab"]),
            ("a?(ab)?", "ab", &["ab"]),
            ("a+?", "aaa", &["aaa"]),
            (".", "a\né", &["a", "\n", "é"]),
            ("^a", "aa a", &["a"]),
            ("a$", "aa", &["a"]),
            ("(?:ab|cd|e) ?", "abcd  e", &["ab", "cd ", "e"]),
            (r"\b\w\w+\b", "ab c def", &["ab", "def"]),
            (r"[^\W]+", "ab é_c", &["ab", "_c"]),
            (r"[\w.-]+", "a.b-c d", &["a.b-c", "d"]),
            (r"[a\-z]+", "a-zb", &["a-z"]),
            (r"[]a]+", "a]b", &["a]"]),
            ("[[:alpha:]]{2,3}", "abcde f", &["abc", "de"]),
            ("(a{2}b){1,}", "aabaabab", &["aabaab"]),
            (r"\S+", "a \u{b}b", &["a", "\u{b}b"]),
        ] {
            assert_eq!(all(pattern, text), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for pattern in
            [r"\pL", "(?i)a", "(a", "a)", "[a", "a**", "*a", "a{1001}", "[z-a]", r"\1", "(?P<n>a)", "[[:x:]]"]
        {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::parse(&"(".repeat(100)).is_err());
        assert!(Pattern::parse("((a{1000}){1000}){1000}").is_err());
    }
}
