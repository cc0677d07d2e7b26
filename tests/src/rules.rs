//! The Prometheus rule files of `deploy/monitoring`, in the one layout they are written in.

use std::path::{Path, PathBuf};

/// A recording rule or an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `record` or `alert`.
    pub kind: String,
    /// What it is called.
    pub name: String,
    /// Its expression, lines joined by spaces.
    pub expression: String,
    /// Its other lines, `key: value`.
    pub settings: Vec<(String, String)>,
}

impl Rule {
    /// The value of a setting, without quotes; empty when there is none.
    pub fn setting(&self, key: &str) -> &str {
        let found = self.settings.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value.trim_matches('"'))
    }
}

/// The folder of everything that watches a run.
pub fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/monitoring")
}

/// The rules of every file in `deploy/monitoring/rules`.
///
/// # Panics
/// When a file cannot be read or is laid out otherwise.
pub fn all() -> Vec<Rule> {
    let folder = monitoring().join("rules");
    let mut rules = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("rules") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            rules.extend(parse(&std::fs::read_to_string(&path).expect("rule file")));
        }
    }
    rules
}

/// The rules of a file.
///
/// # Panics
/// When an expression comes before its rule.
pub fn parse(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut in_expression = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some((kind, name)) = trimmed.strip_prefix("- ").and_then(|rest| rest.split_once(": "))
            && ["record", "alert"].contains(&kind)
        {
            rules.push(Rule { kind: kind.to_owned(), name: name.to_owned(), ..Rule::default() });
            in_expression = false;
        } else if trimmed.starts_with("expr:") {
            in_expression = true;
        } else if in_expression && indent >= 10 {
            let rule = rules.last_mut().expect("a rule has begun");
            rule.expression.push_str(trimmed);
            rule.expression.push(' ');
        } else if let Some((key, value)) = trimmed.split_once(": ") {
            in_expression = false;
            if let Some(rule) = rules.last_mut() {
                rule.settings.push((key.to_owned(), value.to_owned()));
            }
        }
    }
    rules
}

/// The text of a rule file in which the expression of `name` is another one.
pub fn with_expression(text: &str, name: &str, expression: &str) -> String {
    let mut changed = String::new();
    let (mut of_rule, mut skipping) = (false, false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("- alert: ") || trimmed.starts_with("- record: ") {
            of_rule = trimmed.ends_with(&format!(": {name}"));
        }
        skipping &= line.len() - trimmed.len() >= 10;
        if of_rule && trimmed.starts_with("expr:") {
            changed.push_str(&format!("        expr: '{expression}'\n"));
            skipping = true;
        } else if !skipping {
            changed.push_str(line);
            changed.push('\n');
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "groups:\n  - name: g\n    rules:\n      # Why.\n      - record: vpt:a\n        expr: |-\n          \
                        sum(\n            vpt_a\n          )\n      - alert: B\n        expr: |-\n          vpt_b > 1\n        \
                        for: 1m\n        annotations:\n          summary: \"Too much.\"\n";

    #[test]
    fn rules_come_apart_and_can_be_changed() {
        let rules = parse(TEXT);
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].name.as_str(), rules[0].expression.trim()), ("vpt:a", "sum( vpt_a )"));
        assert_eq!((rules[1].setting("for"), rules[1].setting("summary")), ("1m", "Too much."));
        let changed = parse(&with_expression(TEXT, "B", "vector(1)"));
        assert_eq!(changed[0], rules[0]);
        assert!(with_expression(TEXT, "B", "vector(1)").contains("expr: 'vector(1)'\n        for: 1m"));
        assert!(!with_expression(TEXT, "B", "vector(1)").contains("vpt_b"));
    }
}
