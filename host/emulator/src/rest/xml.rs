//! Small pieces of XML text.

use std::fmt::Write;

/// Text with the five special characters as entities; characters XML cannot hold become `?`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' => out.push(c),
            '\r' => out.push_str("&#13;"),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// Text in a CDATA section.
pub fn cdata(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| {
            if c < ' ' && !"\t\n\r".contains(c) {
                '?'
            } else {
                c
            }
        })
        .collect();
    format!("<![CDATA[{}]]>", clean.replace("]]>", "]]]]><![CDATA[>"))
}

/// A document that grows element by element.
#[derive(Debug)]
pub struct Document(String);

impl Document {
    /// Starts with the XML declaration and an open root element, given without brackets.
    pub fn new(root: &str) -> Self {
        Self(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root}>"
        ))
    }

    /// `<name>text</name>`.
    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "<{name}>{}</{name}>", escape(text));
        self
    }

    /// Opens an element; `tag` may carry attributes.
    pub fn open(&mut self, tag: &str) -> &mut Self {
        let _ = write!(self.0, "<{tag}>");
        self
    }

    /// Closes an element.
    pub fn close(&mut self, name: &str) -> &mut Self {
        let _ = write!(self.0, "</{name}>");
        self
    }

    /// Ready XML.
    pub fn raw(&mut self, xml: &str) -> &mut Self {
        self.0.push_str(xml);
        self
    }

    /// Closes the root and gives the document.
    pub fn finish(mut self, root: &str) -> String {
        self.close(root);
        self.0
    }
}
