//! The source of a chat template, in the language that `minijinja` reads.
//!
//! Four things are written otherwise: line ends, which Jinja2 makes `\n`; `{% generation %}` blocks, which transformers
//! adds to the language; `'text' % value`, which is `'text'|format(value)`; and what a loop goes through, whose end
//! `loop.last` must see.

use std::ops::Range;

/// The function that a `{% generation %}` block calls.
pub(super) const GENERATION: &str = "__generation";

/// The function that makes a list of what a loop goes through.
pub(super) const EACH: &str = "__each";

/// Translate a whole template.
pub(super) fn translate(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(start) =
        rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min()
    {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = match &rest[..2] {
            "{#" => rest.find("#}").map_or(rest.len(), |end| end + 2),
            "{%" => tag_length(rest, "%}"),
            _ => tag_length(rest, "}}"),
        };
        let (tag, after) = rest.split_at(length);
        rest = after;
        match keyword(tag) {
            Some("generation") => push_tag(&mut out, tag, &format!("call {GENERATION}()")),
            Some("endgeneration") => push_tag(&mut out, tag, "endcall"),
            Some("raw") => {
                let end = end_of_raw(rest);
                out.push_str(tag);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            _ if tag.starts_with("{#") => out.push_str(tag),
            _ => match iterated(tag) {
                Some(place) => {
                    push_with_formats(&mut out, &tag[..place.start]);
                    out.push_str(EACH);
                    out.push('(');
                    push_with_formats(&mut out, tag[place.clone()].trim());
                    out.push_str(") ");
                    push_with_formats(&mut out, &tag[place.end..]);
                }
                None => push_with_formats(&mut out, tag),
            },
        }
    }
    out.push_str(rest);
    out
}

/// The one word of a `{% word %}` tag.
fn keyword(tag: &str) -> Option<&str> {
    let inside = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    Some(inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim())
}

/// Another word in a tag, whose marks for white space stay.
fn push_tag(out: &mut String, tag: &str, word: &str) {
    let mark = |c: Option<char>| c.filter(|c| ['-', '+'].contains(c));
    out.push_str("{%");
    out.extend(mark(tag[2..].chars().next()));
    out.push(' ');
    out.push_str(word);
    out.push(' ');
    out.extend(mark(tag[..tag.len() - 2].chars().next_back()));
    out.push_str("%}");
}

/// Where in `{% for x in values if … %}` the values are.
fn iterated(tag: &str) -> Option<Range<usize>> {
    let inside = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    let rest = inside.strip_prefix("for").filter(|rest| rest.starts_with(char::is_whitespace))?;
    let end = tag.len() - if tag.ends_with("-%}") { 3 } else { 2 };
    let (mut i, mut depth, mut start) = (tag.len() - rest.len(), 0_usize, None);
    while i < end {
        let token = &tag[i..i + token_length(&tag[i..])];
        match (token, start) {
            ("(" | "[" | "{", _) => depth += 1,
            (")" | "]" | "}", _) => depth = depth.saturating_sub(1),
            ("in", None) if depth == 0 => start = Some(i + 2),
            ("if" | "recursive", Some(start)) if depth == 0 => return Some(start + 1..i),
            _ => {}
        }
        i += token.len();
    }
    start.map(|start| (start + 1).min(end)..end)
}

fn end_of_raw(rest: &str) -> usize {
    let ends = rest.match_indices("{%").map(|(i, _)| i);
    let mut raw =
        ends.filter(|&i| keyword(&rest[i..i + tag_length(&rest[i..], "%}")]) == Some("endraw"));
    raw.next().unwrap_or(rest.len())
}

/// Bytes up to and with the end of a tag, which is not inside a string or a bracket.
fn tag_length(text: &str, close: &str) -> usize {
    let (mut i, mut depth) = (2, 0_usize);
    while i < text.len() {
        if depth == 0 && text[i..].starts_with(close) {
            return i + close.len();
        }
        let length = token_length(&text[i..]);
        match text.as_bytes()[i] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        i += length;
    }
    text.len()
}

/// Bytes of the string, name, number or other character at the front of a text.
fn token_length(text: &str) -> usize {
    let mut characters = text.char_indices();
    let Some((_, first)) = characters.next() else { return 0 };
    if first == '\'' || first == '"' {
        let mut escaped = false;
        for (i, c) in characters {
            if c == first && !escaped {
                return i + 1;
            }
            escaped = c == '\\' && !escaped;
        }
        return text.len();
    }
    let word = |c: char| c.is_alphanumeric() || c == '_';
    if word(first) { text.find(|c| !word(c)).unwrap_or(text.len()) } else { first.len_utf8() }
}

/// A tag with each `'text' % value` in it as `'text'|format(value)`.
fn push_with_formats(out: &mut String, tag: &str) {
    let mut rest = tag;
    while !rest.is_empty() {
        let (token, after) = rest.split_at(token_length(rest));
        out.push_str(token);
        rest = after;
        let operand = after.trim_start().strip_prefix('%').filter(|text| !text.starts_with('}'));
        if let (true, Some(operand)) = (token.starts_with(['\'', '"']), operand) {
            let operand = operand.trim_start();
            let (value, after) = operand.split_at(operand_length(operand));
            // A tuple in brackets is several values.
            let inside = value.strip_prefix('(').and_then(|value| value.strip_suffix(')'));
            let arguments = inside.filter(|_| group_length(value) == value.len()).unwrap_or(value);
            out.push_str("|format(");
            push_with_formats(out, arguments.trim_end().trim_end_matches(','));
            out.push(')');
            rest = after;
        }
    }
}

/// Bytes of a value with its attributes, items, calls and filters.
fn operand_length(text: &str) -> usize {
    let mut length = match text.chars().next() {
        Some('(' | '[' | '{') => group_length(text),
        _ => token_length(text),
    };
    loop {
        let rest = &text[length..];
        let trimmed = rest.trim_start();
        let skipped = rest.len() - trimmed.len();
        length += match trimmed.chars().next() {
            Some('(' | '[') => skipped + group_length(trimmed),
            Some('.' | '|') => {
                let name = trimmed[1..].trim_start();
                rest.len() - name.len() + token_length(name)
            }
            _ => return length,
        };
    }
}

/// Bytes of a bracket with what it holds.
fn group_length(text: &str) -> usize {
    let (mut i, mut depth) = (0, 0_usize);
    while i < text.len() {
        match text.as_bytes()[i] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        i += token_length(&text[i..]);
        if depth == 0 {
            return i;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn what_is_written_otherwise() {
        for (source, expected) in [
            ("a\r\nb\rc", "a\nb\nc"),
            (
                "{%- generation -%}\nx{% endgeneration +%}",
                "{%- call __generation() -%}\nx{% endcall +%}",
            ),
            ("{{ 'a %s' % x.y[1] | trim }}", "{{ 'a %s'|format(x.y[1] | trim) }}"),
            ("{{ \"%d-%d\" % (a, f(b)) ~ c }}", "{{ \"%d-%d\"|format(a, f(b)) ~ c }}"),
            (
                "{% if '}}%}' %}{{ {'a': {'b': 1}} }}{% endif %}",
                "{% if '}}%}' %}{{ {'a': {'b': 1}} }}{% endif %}",
            ),
            (
                "{# '%s' % x #}{% raw %}{{ '%s' % x }}{% endraw %}",
                "{# '%s' % x #}{% raw %}{{ '%s' % x }}{% endraw %}",
            ),
            ("{{ 7 % 2 }}{{ x % 2 }}{{ 'a' }} % b", "{{ 7 % 2 }}{{ x % 2 }}{{ 'a' }} % b"),
            ("{{ 'open", "{{ 'open"),
            ("{% for a, b in c.items() if a -%}", "{% for a, b in __each(c.items()) if a -%}"),
            ("{%- for x in [1 if y else 2] %}", "{%- for x in __each([1 if y else 2]) %}"),
        ] {
            assert_eq!(translate(source), expected);
        }
    }
}
