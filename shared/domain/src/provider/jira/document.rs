//! A document in Atlassian's format as text, much as Markdown has it: what people wrote, without how it looks. Nodes that are
//! not known give what is in them; what is too deep or too much is left away.

use serde_json::Value;

use super::mention::mention;
use crate::limits;

pub(super) fn text(document: &Value) -> String {
    let mut text = String::new();
    write(document, limits::DOCUMENT_DEPTH, &mut text);
    text.truncate(text.trim_end().len());
    text
}

fn write(node: &Value, depth: usize, out: &mut String) {
    let attribute = |name: &str| node["attrs"][name].as_str().unwrap_or_default();
    if depth == 0 || out.len() >= limits::DOCUMENT_BYTES {
        return;
    }
    match node["type"].as_str().unwrap_or_default() {
        "text" => {
            let text = node["text"].as_str().unwrap_or_default();
            let is_code = node["marks"].as_array().is_some_and(|marks| marks.iter().any(|mark| mark["type"] == "code"));
            if is_code { out.extend(["`", text, "`"]) } else { out.push_str(text) }
        }
        "hardBreak" => out.push('\n'),
        "mention" => out.push_str(&mention(attribute("id"))),
        "emoji" => out.push_str(if attribute("text").is_empty() { attribute("shortName") } else { attribute("text") }),
        "status" => out.push_str(attribute("text")),
        "inlineCard" => out.push_str(attribute("url")),
        "blockCard" | "embedCard" => out.extend([attribute("url"), "\n"]),
        "rule" => out.push_str("---\n"),
        "paragraph" | "heading" | "tableRow" => {
            children(node, depth, out);
            out.push('\n');
        }
        "tableCell" | "tableHeader" => out.extend([inner(node, depth).trim(), " | "]),
        "listItem" | "taskItem" | "decisionItem" => out.extend(["- ", inner(node, depth).trim(), "\n"]),
        "codeBlock" => {
            let code = inner(node, depth);
            let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or_default();
            let fence = "`".repeat(3.max(longest + 1));
            out.extend([&fence, "\n", &code, "\n", &fence, "\n"]);
        }
        "blockquote" => {
            for line in inner(node, depth).trim_end().lines() {
                out.extend(["> ", line, "\n"]);
            }
        }
        _ => children(node, depth, out),
    }
}

fn children(node: &Value, depth: usize, out: &mut String) {
    for child in node["content"].as_array().into_iter().flatten() {
        write(child, depth - 1, out);
    }
}

/// What is in a node, on its own, and not longer than all may be: or each node around it would make it longer.
fn inner(node: &Value, depth: usize) -> String {
    let mut inner = String::new();
    children(node, depth, &mut inner);
    inner.truncate(inner.floor_char_boundary(limits::DOCUMENT_BYTES));
    inner
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(content: Value, expected: &str) {
        let mut document = json!({"type": "doc", "version": 1});
        document["content"] = content;
        assert_eq!(text(&document), expected);
    }

    fn paragraph(text: &str) -> Value {
        json!({"type": "paragraph", "content": [{"type": "text", "text": text}]})
    }

    #[test]
    fn a_document_reads_as_people_wrote_it() {
        check(json!([paragraph("a"), paragraph("b")]), "a\nb");
        let mention = json!({"type": "mention", "attrs": {"id": "557058:a", "text": "@Ann"}});
        let line = json!([mention, {"type": "text", "text": " see"}, {"type": "hardBreak"},
            {"type": "inlineCard", "attrs": {"url": "https://acme.example"}}, {"type": "emoji", "attrs": {"shortName": ":ok:"}}]);
        check(json!([{"type": "paragraph", "content": line}]), "[~accountid:557058:a] see\nhttps://acme.example:ok:");
        let items = json!([{"type": "listItem", "content": [paragraph("a")]}, {"type": "listItem", "content": [paragraph("b")]}]);
        check(json!([{"type": "bulletList", "content": items}]), "- a\n- b");
        check(
            json!([{"type": "blockquote", "content": [paragraph("a"), paragraph("b")]}, paragraph("c")]),
            "> a\n> b\nc",
        );
        check(json!([{"type": "codeBlock", "content": [{"type": "text", "text": "a\n@oz"}]}]), "```\na\n@oz\n```");
        check(json!([{"type": "codeBlock", "content": [{"type": "text", "text": "```"}]}]), "````\n```\n````");
        let code = json!({"type": "text", "text": "@oz", "marks": [{"type": "strong"}, {"type": "code"}]});
        check(json!([{"type": "paragraph", "content": [code]}]), "`@oz`");
        let row = json!({"type": "tableRow", "content": [
            {"type": "tableHeader", "content": [paragraph("a")]}, {"type": "tableCell", "content": [paragraph("b")]}]});
        check(json!([{"type": "table", "content": [row]}]), "a | b |");
        check(json!([{"type": "unheard_of", "content": [paragraph("a"), {"type": "rule"}]}]), "a\n---");
        for odd in [json!(null), json!(7), json!("a"), json!([[paragraph("a")]]), json!([{"type": 1, "content": {}}])] {
            check(odd, "");
        }
    }

    #[test]
    fn what_is_too_deep_or_too_much_is_left_away() {
        let nested = |kind: &str, depth: usize| {
            (0..depth).fold(paragraph("deep"), |inner, _| json!({"type": kind, "content": [paragraph("a"), inner]}))
        };
        for kind in ["panel", "blockquote", "listItem"] {
            let shallow = nested(kind, limits::DOCUMENT_DEPTH - 3);
            assert!(text(&shallow).contains("deep"), "{kind}");
            let text = text(&nested(kind, 3 * limits::DOCUMENT_DEPTH));
            assert!(text.contains('a') && !text.contains("deep"), "{kind}");
        }
        // Each quote around it would make all of its lines longer.
        let quoted = (0..30)
            .fold(paragraph(&"a\n".repeat(100_000)), |inner, _| json!({"type": "blockquote", "content": [inner]}));
        assert!(text(&quoted).len() <= 4 * limits::DOCUMENT_BYTES);
    }

    fn node() -> impl Strategy<Value = Value> {
        let kinds =
            ["doc", "paragraph", "codeBlock", "blockquote", "listItem", "tableCell", "mention", "text", "rule", "x"];
        let leaf = ("[a-z`@>\n]{0,8}", prop::sample::select(kinds.to_vec()))
            .prop_map(|(text, kind)| json!({"type": kind, "text": text}));
        leaf.prop_recursive(5, 40, 4, move |inner| {
            (prop::sample::select(kinds.to_vec()), prop::collection::vec(inner, 0..4))
                .prop_map(|(kind, content)| json!({"type": kind, "content": content}))
        })
    }

    proptest! {
        /// No document is too odd, and what is only in code or a quote is nobody's to hear.
        #[test]
        fn what_is_in_code_or_quoted_speaks_to_nobody(node in node(), quote: bool) {
            let kind = if quote { "blockquote" } else { "codeBlock" };
            let around = json!({"type": kind, "content": [node, {"type": "text", "text": "\n@oz"}]});
            // A fence within a quote may end behind the text of another line, but not outside of the quote.
            prop_assert!(!crate::provider::mentions(&text(&around), "@oz"), "{}", text(&around));
        }
    }
}
