//! A reader for the small XML documents of the REST service.

/// One element with all that is in it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The trimmed text of the first child of that name, unless it is empty.
    pub(crate) fn text_of(&self, name: &str) -> Option<String> {
        let text = self.child(name)?.text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Children of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// Deeper documents are refused: nothing the service sends comes near.
const MAX_DEPTH: usize = 64;

/// The root element; None for anything that is not a complete document.
pub(crate) fn parse(text: &str) -> Option<Element> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut open: Vec<Element> = Vec::new();
    loop {
        let at = rest.find('<')?;
        let (before, tag) = rest.split_at(at);
        if let Some(current) = open.last_mut() {
            current.text.push_str(&unescape(before)?);
        }
        if let Some(after) = tag.strip_prefix("<![CDATA[") {
            let (data, after) = after.split_once("]]>")?;
            open.last_mut()?.text.push_str(data);
            rest = after;
        } else if let Some(after) = tag.strip_prefix("<!--") {
            rest = after.split_once("-->")?.1;
        } else if let Some(after) = tag.strip_prefix("<?") {
            rest = after.split_once("?>")?.1;
        } else if let Some(after) = tag.strip_prefix("<!") {
            rest = after.split_once('>')?.1;
        } else if let Some(after) = tag.strip_prefix("</") {
            let (name, after) = after.split_once('>')?;
            let done = open.pop()?;
            if done.name != name.trim() {
                return None;
            }
            rest = after;
            match open.last_mut() {
                Some(parent) => parent.children.push(done),
                None => return Some(done),
            }
        } else {
            let (element, empty, after) = start_tag(tag.strip_prefix('<')?)?;
            rest = after;
            if !empty {
                if open.len() >= MAX_DEPTH {
                    return None;
                }
                open.push(element);
            } else {
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Some(element),
                }
            }
        }
    }
}

/// The element of a start tag after its `<`, whether it ends there, and what follows it.
fn start_tag(tag: &str) -> Option<(Element, bool, &str)> {
    let end = tag.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    let (name, mut rest) = tag.split_at(end);
    let mut element = Element {
        name: name.to_owned(),
        ..Element::default()
    };
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            return Some((element, false, after));
        }
        if let Some(after) = rest.strip_prefix("/>") {
            return Some((element, true, after));
        }
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| *c == '"' || *c == '\'')?;
        let (value, after) = after.strip_prefix(quote)?.split_once(quote)?;
        element
            .attributes
            .push((key.trim().to_owned(), unescape(value)?));
        rest = after;
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';')?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// `text` for use between tags or in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_service_sends() {
        let doc = r#"<?xml version="1.0"?><!-- c --><Table format="Json"><Name>t&amp;&#20013;</Name><Empty/>
            <Schema format='Json'><![CDATA[{"a":"<&>"}]]></Schema></Table>"#;
        let table = parse(doc).unwrap();
        assert_eq!(table.attribute("format"), Some("Json"));
        assert_eq!(table.text_of("Name").unwrap(), "t&中");
        assert_eq!(table.text_of("Empty"), None);
        assert_eq!(table.text_of("Schema").unwrap(), r#"{"a":"<&>"}"#);
    }

    #[test]
    fn refuses_what_is_cut_or_mixed() {
        for bad in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a",
            "<a>&x;</a>",
            "<a b></a>",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(parse(&"<a>".repeat(1000)).is_none());
    }

    #[test]
    fn escape_is_undone_by_reading() {
        let text = "a<b>&'\"\r\n中";
        assert_eq!(
            parse(&format!("<x>{}</x>", escape(text))).unwrap().text,
            text
        );
    }
}
