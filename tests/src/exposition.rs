//! The text of a metrics page, taken apart.

use std::collections::{BTreeMap, BTreeSet};

/// One metric of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// The sentence after `# HELP`.
    pub help: String,
    /// The labels of every series, without a histogram's `le`.
    pub series: BTreeSet<BTreeMap<String, String>>,
    /// A histogram's upper bounds, without infinity.
    pub bounds: BTreeSet<String>,
}

/// The metrics of a page, by name.
///
/// # Panics
/// When a line is neither help, type nor sample, or a sample belongs to no metric.
pub fn parse(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("name and help");
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and kind");
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            sample(&mut families, line);
        }
    }
    families
}

fn sample(families: &mut BTreeMap<String, Family>, line: &str) {
    let (series, value) = line.rsplit_once(' ').expect("series and value");
    assert!(value.parse::<f64>().is_ok(), "no number: {line}");
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let mut labels = labels_of(labels.trim_end_matches('}'));
    let of_histogram = |suffix: &str| {
        let stem = name.strip_suffix(suffix)?;
        families.get(stem).filter(|family| family.kind == "histogram").map(|_| stem.to_owned())
    };
    let stem = ["_bucket", "_sum", "_count"].into_iter().find_map(of_histogram);
    let name = stem.unwrap_or_else(|| name.to_owned());
    let family = families.get_mut(&name).unwrap_or_else(|| panic!("{name} has neither help nor type"));
    if let Some(bound) = labels.remove("le").filter(|bound| bound != "+Inf") {
        family.bounds.insert(bound);
    }
    family.series.insert(labels);
}

/// `a="1",b="2"`; values of our labels hold neither quotes nor commas.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("a label and its value");
            (name.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_apart() {
        let page = "# HELP a_total Some help.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\n\
                    # TYPE h histogram\n# HELP h H.\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
        let families = parse(page);
        assert_eq!(families.keys().collect::<Vec<_>>(), ["a_total", "h"]);
        assert_eq!(
            (families["a_total"].kind.as_str(), families["a_total"].help.as_str()),
            ("counter", "Some help.")
        );
        assert_eq!(families["a_total"].series.first().unwrap()["x"], "1");
        assert_eq!(families["h"].bounds, BTreeSet::from(["0.5".to_owned()]));
        assert_eq!(families["h"].series.len(), 1);
    }
}
