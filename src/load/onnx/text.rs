//! Attributes of the operators on text.

use super::attributes::Attributes;
use crate::error::{Error, Result};
use crate::graph::ops::pattern::Pattern;
use crate::graph::ops::text::{Case, MurmurHash3, NgramCounter, StringNormalizer, Tokenizer, Tokens, Weighting};
use crate::graph::tensor::Tensor;

pub(super) fn string_normalizer(attributes: &mut Attributes<'_>) -> Result<StringNormalizer> {
    let case = match attributes.string("case_change_action")?.unwrap_or("NONE") {
        "NONE" => Case::Keep,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        other => return Err(Error::invalid_model(format!("case_change_action {other:?}"))),
    };
    let locale = attributes.string("locale")?.unwrap_or("en_US");
    // Turkish and its kin have an i of their own.
    if ["tr", "az", "lt"].iter().any(|language| locale.split(['_', '-', '.']).next() == Some(language)) {
        return Err(Error::unsupported(format!("locale {locale:?}")));
    }
    let stop_words = attributes.strings("stopwords")?.unwrap_or_default();
    let case_sensitive = attributes.flag("is_case_sensitive", false)?;
    Ok(StringNormalizer::new(case, case_sensitive, matches!(locale, "C" | "POSIX"), &stop_words))
}

pub(super) fn murmur_hash(attributes: &mut Attributes<'_>) -> Result<MurmurHash3> {
    if attributes.flag("positive", true)? {
        return Err(Error::unsupported("attribute positive, hashes without a sign"));
    }
    let seed = attributes.int("seed")?.unwrap_or(0);
    Ok(MurmurHash3 { seed: u32::try_from(seed).map_err(|_| Error::invalid_model(format!("attribute seed {seed}")))? })
}

pub(super) fn tokenizer(attributes: &mut Attributes<'_>) -> Result<Tokenizer> {
    if attributes.flag("mark", false)? {
        return Err(Error::unsupported("attribute mark"));
    }
    let least = attributes.int("mincharnum")?.unwrap_or(1);
    let least = usize::try_from(least).ok().filter(|&least| least > 0);
    let least = least.ok_or_else(|| Error::invalid_model("attribute mincharnum"))?;
    let filler = attributes.string("pad_value")?.unwrap_or_default().to_owned();
    let separators = attributes.strings("separators")?.filter(|list| !list.is_empty());
    let expression = attributes.string("tokenexp")?.filter(|expression| !expression.is_empty());
    let tokens = match (separators, expression) {
        (Some(list), _) if list.iter().eq([""]) => Tokens::Characters,
        (Some(list), _) => Tokens::Between(list.iter().map(Pattern::parse).collect::<Result<_>>()?),
        (None, Some(expression)) => Tokens::Matching(Pattern::parse(expression)?),
        (None, None) => return Err(Error::invalid_model("neither separators nor tokenexp")),
    };
    if matches!(tokens, Tokens::Characters) && least > 1 {
        return Err(Error::invalid_model("characters of which more than one make a token"));
    }
    Ok(Tokenizer { tokens, least, filler })
}

/// At most this many columns for each n-gram: some may count none, but memory follows what the file holds.
const MAX_COLUMNS_PER_NGRAM: u64 = 64;

pub(super) fn ngrams(attributes: &mut Attributes<'_>) -> Result<NgramCounter> {
    let missing = |name: &str| Error::invalid_model(format!("attribute {name}"));
    let mut length = |name: &str| -> Result<usize> {
        let value = attributes.int(name)?.and_then(|value| usize::try_from(value).ok());
        value.ok_or_else(|| missing(name))
    };
    let (least, most) = (length("min_gram_length")?, length("max_gram_length")?);
    let max_skip = length("max_skip_count")?;
    let weighting = match attributes.string("mode")?.unwrap_or_default() {
        "TF" => Weighting::Count,
        "IDF" => Weighting::Presence,
        "TFIDF" => Weighting::Weighted,
        other => return Err(Error::invalid_model(format!("mode {other:?}"))),
    };
    let starts = attributes.ints("ngram_counts")?.unwrap_or_default();
    let columns = attributes.ints("ngram_indexes")?.unwrap_or_default();
    let weights = attributes.floats("weights")?.filter(|weights| !weights.is_empty());
    if least == 0 || least > most || most > starts.len() || columns.is_empty() || max_skip > 1 << 20 {
        return Err(Error::invalid_model("lengths, skips or counts of n-grams that do not fit together"));
    }
    if weights.is_some_and(|weights| weights.len() != columns.len()) {
        return Err(Error::invalid_model("as many weights as ngram_indexes are expected"));
    }
    let strings = attributes.strings("pool_strings")?.filter(|pool| !pool.is_empty());
    let integers = attributes.ints("pool_int64s")?.filter(|pool| !pool.is_empty());
    let pool = match (strings, integers) {
        (Some(strings), None) => Tensor::text(strings),
        (None, Some(integers)) => Tensor::list(integers.to_vec()),
        _ => return Err(Error::invalid_model("neither or both of pool_strings and pool_int64s")),
    };
    let mut counter = NgramCounter::new(&pool, (least, most), max_skip, weighting)?;
    let most_columns = (columns.len() as u64).saturating_mul(MAX_COLUMNS_PER_NGRAM);
    let mut numbered = 0;
    for (index, &start) in starts.iter().enumerate() {
        let words = index + 1;
        let end = starts.get(words).copied().unwrap_or(pool.len() as i64);
        let bounds = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let bounds = bounds.filter(|&(start, end)| start <= end && end <= pool.len());
        let (start, end) = bounds.filter(|(start, end)| (end - start).is_multiple_of(words)).ok_or_else(|| {
            Error::invalid_model(format!("n-grams of {words} words from {start} to {end} of {}", pool.len()))
        })?;
        for at in (start..end).step_by(words) {
            let column = *columns.get(numbered).ok_or_else(|| Error::invalid_model("an n-gram without an index"))?;
            let column = u64::try_from(column).map_err(|_| Error::invalid_model(format!("ngram_indexes {column}")))?;
            if column >= most_columns {
                return Err(Error::limit("ngram_indexes", column, most_columns));
            }
            let mut ngram = Tensor::default();
            ngram.start_like(&pool, &[words])?;
            ngram.append(&pool, at..at + words)?;
            counter.count(&ngram, column as u32, weights.map(|weights| weights[numbered]))?;
            numbered += 1;
        }
    }
    Ok(counter)
}
