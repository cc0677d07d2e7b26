//! What a PromQL expression refers to: enough of the language to find names and labels, not to understand it.

use std::collections::BTreeSet;

/// A series an expression selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The metric.
    pub name: String,
    /// Label, operator and value of each matcher.
    pub matchers: Vec<(String, String, String)>,
}

/// What an expression refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Selected series whose name is ours (`vpt_...`, `vpt:...`) or all upper case (`DCGM_...`, `ALERTS`).
    pub selectors: Vec<Selector>,
    /// Labels in `by`, `on`, `without` and `group_left` lists.
    pub grouped: BTreeSet<String>,
}

/// Reads an expression.
///
/// # Panics
/// When brackets or quotes do not close.
pub fn references(expression: &str) -> References {
    let mut found = References::default();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"') {
        rest = &rest[start..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = &text[text.find('"').expect("quotes close") + 1..];
            continue;
        }
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let after = after.trim_start();
        if ["by", "on", "without", "group_left"].contains(&name) && after.starts_with('(') {
            let list = &after[1..after.find(')').expect("brackets close")];
            found
                .grouped
                .extend(list.split(',').map(|label| label.trim().to_owned()).filter(|it| !it.is_empty()));
            rest = &after[list.len() + 2..];
        } else if name.starts_with("vpt")
            || name.chars().all(|c| c.is_ascii_uppercase() || "_0123456789".contains(c))
        {
            let mut selector = Selector { name: name.to_owned(), matchers: Vec::new() };
            if let Some(inner) = after.strip_prefix('{') {
                let inner = &inner[..inner.find('}').expect("braces close")];
                selector.matchers = matchers(inner);
                rest = &after[inner.len() + 2..];
            }
            found.selectors.push(selector);
        }
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn matchers(inner: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (label, after) = rest.split_at(rest.find(|c| "=!~".contains(c)).expect("an operator"));
        let (operator, after) = after.split_at(after.find('"').expect("a value"));
        let value = &after[1..=after[1..].find('"').expect("quotes close")];
        found.push((label.trim().to_owned(), operator.trim().to_owned(), value.to_owned()));
        rest = after[value.len() + 2..].trim_start().trim_start_matches(',').trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_matchers_and_groups_are_found() {
        let found = references(
            "sum by (namespace, reason) (rate(vpt_a_total{reason!=\"draining\",x=~\"b|c\"}[10m])) / on (y) vpt:b:p90 > 0.5 \
             and DCGM_X{gpu=\"vpt_no\"} unless \"vpt_text\" == 1e3",
        );
        let names: Vec<_> = found.selectors.iter().map(|selector| selector.name.as_str()).collect();
        assert_eq!(names, ["vpt_a_total", "vpt:b:p90", "DCGM_X"]);
        let matcher =
            |label: &str, operator: &str, value: &str| (label.into(), operator.into(), value.into());
        assert_eq!(
            found.selectors[0].matchers,
            [matcher("reason", "!=", "draining"), matcher("x", "=~", "b|c")]
        );
        assert_eq!(found.grouped, BTreeSet::from(["namespace", "reason", "y"].map(str::to_owned)));
    }
}
