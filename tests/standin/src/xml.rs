//! As much XML as missions need: elements, attributes and text. What is not well-formed is refused, with the place.

/// Elements inside of each other.
const DEEPEST: usize = 32;
/// Elements altogether.
const MOST: usize = 4096;

/// An element.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Element {
    /// Without a namespace's prefix.
    pub(crate) name: String,
    /// Name and value, in order.
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    /// The first element of that name inside this one, however deep.
    pub(crate) fn find(&self, name: &str) -> Option<&Self> {
        self.children.iter().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }

    /// The elements directly inside.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// An attribute's value.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its text, trimmed.
    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }

    /// The text of the first element of that name inside.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.find(name).map(Self::text)
    }
}

/// The one element of a document.
pub(crate) fn parse(text: &str) -> Result<Element, String> {
    let mut reader = Reader { text, at: 0, elements: 0 };
    reader.skip_between()?;
    let root = reader.element(0)?;
    reader.skip_between()?;
    if reader.at < text.len() {
        return reader.refuse("something behind the last element");
    }
    Ok(root)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    elements: usize,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} at byte {}", self.at))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { self.refuse(&format!("`{token}` is missing")) }
    }

    /// What stands before `end`, which is passed, too.
    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let Some(length) = self.rest().find(end) else {
            return self.refuse(&format!("`{end}` is missing behind what begins"));
        };
        let part = &self.rest()[..length];
        self.at += length + end.len();
        Ok(part)
    }

    fn skip_space(&mut self) -> bool {
        let before = self.at;
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.at > before
    }

    /// Space, comments and declarations outside of the root.
    fn skip_between(&mut self) -> Result<(), String> {
        loop {
            self.skip_space();
            if self.take("<?") {
                self.until("?>")?;
            } else if self.take("<!--") {
                self.until("-->")?;
            } else {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        let length = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let name = &self.rest()[..length];
        if !name.starts_with(|first: char| first.is_alphabetic() || first == '_') {
            return self.refuse("a name is missing");
        }
        self.at += length;
        Ok(name.to_owned())
    }

    fn element(&mut self, depth: usize) -> Result<Element, String> {
        self.elements += 1;
        if depth >= DEEPEST || self.elements > MOST {
            return self.refuse("too many elements");
        }
        self.expect("<")?;
        let tag = self.name()?;
        let mut element = Element { name: local(&tag), ..Element::default() };
        loop {
            let spaced = self.skip_space();
            if self.take("/>") {
                return Ok(element);
            }
            if self.take(">") {
                break;
            }
            if !spaced {
                return self.refuse("a space is missing");
            }
            let name = self.name()?;
            if element.attribute(&name).is_some() {
                return self.refuse("an attribute twice");
            }
            let value = self.value()?;
            element.attributes.push((name, value));
        }
        self.content(&mut element, depth)?;
        if self.name()? != tag {
            return self.refuse(&format!("`{tag}` is closed by another name"));
        }
        self.skip_space();
        self.expect(">")?;
        Ok(element)
    }

    /// Everything up to the closing tag's name.
    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), String> {
        loop {
            if self.take("</") {
                return Ok(());
            }
            if self.take("<!--") {
                self.until("-->")?;
            } else if self.take("<![CDATA[") {
                element.text += self.until("]]>")?;
            } else if self.rest().starts_with('<') {
                element.children.push(self.element(depth + 1)?);
            } else {
                let length = self.rest().find('<');
                let Some(length) = length else { return self.refuse("an element is not closed") };
                element.text += &self.plain(&self.rest()[..length])?;
                self.at += length;
            }
        }
    }

    fn value(&mut self) -> Result<String, String> {
        self.skip_space();
        self.expect("=")?;
        self.skip_space();
        let quote = if self.take("\"") {
            "\""
        } else if self.take("'") {
            "'"
        } else {
            return self.refuse("a quote is missing");
        };
        let raw = self.until(quote)?;
        if raw.contains('<') { self.refuse("`<` in a value") } else { self.plain(raw) }
    }

    /// Text with its entities resolved.
    fn plain(&self, raw: &str) -> Result<String, String> {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(start) = rest.find('&') {
            out += &rest[..start];
            let Some(end) = rest[start..].find(';') else { return self.refuse("a lone `&`") };
            let Some(character) = entity(&rest[start + 1..start + end]) else {
                return self.refuse("an unknown entity");
            };
            out.push(character);
            rest = &rest[start + end + 1..];
        }
        Ok(out + rest)
    }
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let code = name.strip_prefix('#')?;
            let code = match code.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => code.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn local(tag: &str) -> String {
    tag.rsplit(':').next().unwrap_or(tag).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_read() {
        let text = "<?xml version=\"1.0\"?>\n<!-- a --><n:A b=\"1 &lt; 2\" c='&#65;'><B/>x<C d = \"\">&amp;<![CDATA[<y>]]></C ></n:A>\n";
        let root = parse(text).unwrap();
        assert_eq!(
            (root.name.as_str(), root.attribute("b"), root.attribute("c")),
            ("A", Some("1 < 2"), Some("A"))
        );
        assert_eq!((root.text(), root.text_of("C"), root.text_of("B")), ("x", Some("&<y>"), Some("")));
        assert_eq!((root.children().count(), root.find("D")), (2, None));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        let texts = [
            "",
            "x",
            "<",
            "<A",
            "<A>",
            "<A></B>",
            "<A/><B/>",
            "<A b/>",
            "<A b=1/>",
            "<A b=\"1\"c=\"2\"/>",
            "<A>&x;</A>",
            "<A>&</A>",
            "<A b=\"<\"/>",
            "<A b='1' b='2'/>",
            "<A><!-- </A>",
            "<1/>",
            "<A>é",
            "<!DOCTYPE a><A/>",
            "<A b=\"&#1114112;\"/>",
        ];
        for text in texts {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = "<A>".repeat(100_000);
        assert!(parse(&deep).unwrap_err().contains("too many"));
        assert!(parse(&format!("<A>{}</A>", "<B/>".repeat(5000))).unwrap_err().contains("too many"));
    }
}
