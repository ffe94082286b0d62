//! Files of definitions: YAML in, within limits, and YAML out.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ozma_domain::limits;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::exit::Failure;

/// Files of one apply.
const FILES: usize = 1_000;
/// How deep folders are looked into, and documents nested.
const DEPTH: usize = 32;
/// Aliases are for a few lines that are said twice.
const ALIASES: usize = 100;
/// What all of them together may stand for, in scalars and collections.
const REPLAYED: usize = 1_000;

/// A definition, and where it stands.
#[derive(Debug)]
pub(crate) struct Document {
    /// Such as `web.yaml, document 2`.
    pub(crate) place: String,
    pub(crate) value: Map<String, Value>,
}

/// Every document of these files, and of every `.yaml` and `.yml` below these folders, in the order of their paths. `-` is
/// standard input.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => {
                let before = files.len();
                find(path, DEPTH, &mut files)?;
                if files.len() == before {
                    return Err(Failure::new(format!("there is no .yaml or .yml file below {}", path.display())));
                }
                files[before..].sort();
            }
            false => files.push(path.clone()),
        }
    }
    if files.len() > FILES {
        return Err(Failure::new(format!("{} files, at most {FILES}; apply fewer at a time", files.len())));
    }
    let (mut documents, mut bytes) = (Vec::new(), 0);
    for file in files {
        let text = text_of(&file)?;
        bytes += text.len();
        if bytes > limits::DEFINITIONS_BYTES {
            return Err(too_large(&file));
        }
        documents.extend(parse(&file.display().to_string(), &text)?);
    }
    Ok(documents)
}

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let cannot = |err| Failure::new(format!("cannot look into {}", folder.display())).because(err);
    if depth == 0 {
        return Err(Failure::new(format!("{} is too deep: at most {DEPTH} folders", folder.display())));
    }
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(cannot)?);
        // A link to a folder may lead back to it.
        if kind.is_dir() {
            find(&path, depth - 1, files)?;
        } else if path.is_file() && path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let cannot = |err| Failure::new(format!("cannot read {}", file.display())).because(err);
    let mut bytes = Vec::new();
    let most = limits::DEFINITIONS_BYTES as u64 + 1;
    match file.as_os_str() == "-" {
        true => std::io::stdin().take(most).read_to_end(&mut bytes).map_err(cannot)?,
        false => fs::File::open(file).and_then(|open| open.take(most).read_to_end(&mut bytes)).map_err(cannot)?,
    };
    if bytes.len() > limits::DEFINITIONS_BYTES {
        return Err(too_large(file));
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is not UTF-8", file.display())))
}

fn too_large(file: &Path) -> Failure {
    let most = limits::DEFINITIONS_BYTES / 1024 / 1024;
    Failure::new(format!("with {} it is more than {most} MiB", file.display())).hint("apply fewer at a time")
}

fn parse(file: &str, text: &str) -> Result<Vec<Document>, Failure> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_aliases: ALIASES,
            max_anchors: ALIASES,
            max_recorded_anchor_events: REPLAYED,
            max_recorded_anchor_bytes: limits::DEFINITIONS_BYTES,
            max_total_scalar_bytes: limits::DEFINITIONS_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPLAYED },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        // As YAML 1.2 has it: `no`, `on` and `0755` are texts.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
    };
    let documents = serde_saphyr::from_multiple_with_options::<Value>(text, options)
        .map_err(|err| Failure::new(format!("{file}: {}", err.without_snippet())))?;
    let several = documents.len() > 1;
    let mut read = Vec::with_capacity(documents.len());
    for (document, number) in documents.into_iter().zip(1..) {
        let place = if several { format!("{file}, document {number}") } else { file.to_owned() };
        let Value::Object(value) = document else {
            return Err(Failure::new(format!("{place}: not a definition, which begins with `kind: …`")));
        };
        read.push(Document { place, value });
    }
    Ok(read)
}

/// A document each, with what it is first.
pub(crate) fn to_yaml(definitions: &[Map<String, Value>]) -> Result<String, Failure> {
    let documents: Vec<Ordered<'_>> = definitions.iter().map(Ordered).collect();
    let mut text = String::new();
    for document in documents {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let one = serde_saphyr::to_string(&document).map_err(|err| Failure::new("cannot write YAML").because(err))?;
        text.push_str(&one);
    }
    Ok(text)
}

struct Ordered<'a>(&'a Map<String, Value>);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 2] = ["kind", "name"];
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for name in FIRST {
            if let Some(value) = self.0.get(name) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in self.0.iter().filter(|(name, _)| !FIRST.contains(&name.as_str())) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = match parse("f.yaml", text) {
            Ok(documents) => documents
                .iter()
                .map(|document| format!("{} {}", document.place, Value::Object(document.value.clone())))
                .collect::<Vec<_>>()
                .join("; "),
            Err(failure) => failure.lines(false).join("; "),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn each_document_is_read_with_its_place() {
        check("kind: webhook\nname: a\n", r#"f.yaml {"kind":"webhook","name":"a"}"#);
        check("---\na: 1\n---\nb: 2\n", r#"f.yaml, document 1 {"a":1}; f.yaml, document 2 {"b":2}"#);
        // The member `on` is no truth, and neither is Norway.
        check("on: {x: no}\nmode: 0755\nn: 1_000\n", r#"{"mode":"0755","n":"1_000","on":{"x":"no"}}"#);
        check("a: &x [1]\nb: *x\n", r#"{"a":[1],"b":[1]}"#);
        check("# nothing\n", "");
    }

    #[test]
    fn what_is_no_definition_is_told_by_file_and_place() {
        check("- a\n- b\n", "f.yaml: not a definition");
        check("a: 1\n---\njust words\n", "f.yaml, document 2: not a definition");
        check("a: 1\nb: [\n", "f.yaml: ");
        check("a: 1\nb: 2\na: 3\n", "duplicate");
        check("a: {b: 1, b: 2}\n", "duplicate");
        check("a: !include /etc/passwd\n", "f.yaml: ");
        check("a: *nobody\n", "f.yaml: ");
        check(&format!("a: {}1{}\n", "[".repeat(100), "]".repeat(100)), "f.yaml: ");
        check(&"a: &a [x]\nb: *a\n---\n".repeat(200), "f.yaml: ");
    }

    #[test]
    fn a_bomb_of_aliases_does_not_go_off() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let before = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
        }
        check(&bomb, "f.yaml: ");
        // One large text, said often.
        let large = format!("a: &a {}\nb: [{}]\n", "x".repeat(1024 * 1024), vec!["*a"; 90].join(", "));
        check(&large, "f.yaml: ");
    }

    #[test]
    fn folders_are_read_in_order_and_files_within_limits() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("b.yml", "name: b\n");
        write("a/z.yaml", "name: z\n");
        write("notes.txt", "{");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/round")).unwrap();
        let names = |documents: Vec<Document>| -> Vec<String> {
            documents.iter().map(|document| document.value["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(read(&[dir.path().to_owned()]).unwrap()), ["z", "b"]);
        let told = |path: &str| read(&[dir.path().join(path)]).expect_err("refused").lines(false).join("; ");
        assert!(told("nothing.yaml").contains("cannot read"));
        fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(told("empty").contains("there is no .yaml"));
        write("large.yaml", &format!("name: {}\n", "x".repeat(10 * 1024 * 1024)));
        assert!(told("large.yaml").contains("more than 2 MiB"));
        fs::write(dir.path().join("latin.yaml"), b"name: \xfc\n").unwrap();
        assert!(told("latin.yaml").contains("is not UTF-8"));
    }

    /// What a definition may hold.
    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            any::<String>(),
            "[ \t\n:#'\"|>&*!%@`,{}\\[\\]a-c-]{0,12}",
            prop::sample::select(vec![
                "on", "no", "null", "~", "1e3", "0755", "0x1f", "- a", "a: b", "", " x ", "a\n\n", "\n a", "---", "..."
            ])
            .prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            (-1e9..1e9).prop_map(|number: f64| json!(number)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\\.: ]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(values in prop::collection::vec(value(), 1..4)) {
            let definitions: Vec<Map<String, Value>> = values
                .into_iter()
                .map(|value| json!({"kind": "webhook", "name": "x", "value": value}).as_object().unwrap().clone())
                .collect();
            let text = to_yaml(&definitions).unwrap();
            let read = parse("f.yaml", &text).unwrap_or_else(|failure| panic!("{:?}\n{text}", failure.lines(false)));
            let read: Vec<Map<String, Value>> = read.into_iter().map(|document| document.value).collect();
            prop_assert_eq!(read, definitions, "{}", text);
        }
    }

    /// Examples of the documentation, by their fences.
    fn examples() -> Vec<Document> {
        let text = include_str!("../../docs/definitions.md");
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.flat_map(|block| parse("docs/definitions.md", block).unwrap()).collect()
    }

    #[test]
    fn every_example_of_the_documentation_is_as_the_schema_says() {
        let schema = jsonschema::validator_for(&ozma_api::definitions_schema()).unwrap();
        let examples = examples();
        assert!(examples.len() >= 7, "{}", examples.len());
        for Document { place, value } in examples {
            let value = Value::Object(value);
            let wrong: Vec<String> = schema.iter_errors(&value).map(|err| err.to_string()).collect();
            assert!(wrong.is_empty(), "{place}: {wrong:?}\n{value}");
        }
        for wrong in [
            json!({"kind": "team", "name": "x"}),
            json!({"kind": "runner", "name": "x", "vcpu": 2}),
            json!({"kind": "agent", "name": "x", "secrets": ["TOKEN"]}),
            json!({"kind": "webhook", "name": "x"}),
            json!({"kind": "webhook", "name": "x", "auth": {"mode": "token"}, "secret": "hush"}),
            json!({"kind": "automation", "name": "x", "run": {"promt": "x"}}),
            json!({"kind": "schedule", "name": "x", "prompt": "x", "cron_schedule": 7}),
        ] {
            assert!(!schema.is_valid(&wrong), "{wrong}");
        }
    }

    #[test]
    fn the_published_schema_is_that_of_this_version() {
        let published: Value = serde_json::from_str(include_str!("../../docs/definitions.schema.json")).unwrap();
        assert!(
            published == ozma_api::definitions_schema(),
            "write it anew: cargo run -- apply --schema > docs/definitions.schema.json"
        );
    }
}
