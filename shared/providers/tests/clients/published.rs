//! What providers publish of their APIs, and whether a request is as it says. The files are made by `../published/make`.

use std::sync::LazyLock;

use axum::http::Method;
use graphql_tools::parser::{parse_query, parse_schema};
use graphql_tools::static_graphql::schema::{Definition, Document, TypeDefinition};
use graphql_tools::validation::rules::default_rules_validation_plan;
use graphql_tools::validation::validate::validate;
use serde::Deserialize;
use serde_json::Value;

use crate::stand_in::Request;

#[derive(Deserialize)]
struct Github {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    method: String,
    path: String,
    query: Vec<String>,
    body: Option<Value>,
    status: u16,
    answer: Value,
}

static GITHUB: LazyLock<Github> =
    LazyLock::new(|| serde_json::from_str(include_str!("../published/github.json")).expect("a file of ours"));
static SLACK: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../published/slack.json")).expect("a file of ours"));
static JIRA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../published/jira.json")).expect("a file of ours"));
static LINEAR: LazyLock<Document> = LazyLock::new(|| {
    // A validator knows no scalar that is not declared; those of the language are declared nowhere.
    let text = format!("scalar Boolean scalar Float scalar ID scalar Int scalar String {LINEAR_SCHEMA}");
    parse_schema(&text).expect("a file of ours").into_static()
});
const LINEAR_SCHEMA: &str = include_str!("../published/linear.graphql");

#[track_caller]
fn fits(schema: &Value, value: &Value, what: &str) {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(value).map(|err| format!("{err} at {}", err.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}

/// A request is an operation of GitHub's, with that body and no other parameters; the status of its success, and the
/// published example of its answer.
#[track_caller]
pub(crate) fn github(request: &Request) -> (u16, Value) {
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let operation = GITHUB.operations.iter().find(|operation| {
        let (template, path) = (parts(&operation.path), parts(&request.path));
        let same = |(template, part): (&String, &String)| template.starts_with('{') || template == part;
        operation.method == request.method.as_str()
            && template.len() == path.len()
            && template.iter().zip(&path).all(same)
    });
    let operation = operation.unwrap_or_else(|| panic!("GitHub has no {}", request.line()));
    for (name, _) in &request.query {
        assert!(operation.query.contains(name), "{} has no parameter {name}", request.line());
    }
    match &operation.body {
        Some(schema) => fits(schema, &request.body, &request.line()),
        None => assert_eq!(request.body, Value::Null, "{}", request.line()),
    }
    (operation.status, operation.answer.clone())
}

/// A request has the arguments of Slack's method.
#[track_caller]
pub(crate) fn slack(request: &Request) {
    let method = request.path.rsplit('/').next().expect("a method");
    let schema = &SLACK["methods"][method];
    assert!(schema.is_object(), "Slack has no {method}");
    let arguments = if request.method == Method::GET {
        // A query's values are what JSON would have them be.
        let value = |text: &str| serde_json::from_str(text).ok().filter(|value| !Value::is_f64(value));
        let pairs = request.query.iter().map(|(name, text)| {
            let is_id = matches!(name.as_str(), "channel" | "ts" | "user" | "cursor");
            let value = if is_id { None } else { value(text) };
            (name.clone(), value.unwrap_or_else(|| Value::from(text.clone())))
        });
        pairs.collect()
    } else {
        request.body.clone()
    };
    fits(schema, &arguments, method);
}

/// It is a document as Atlassian's editor has them.
#[track_caller]
pub(crate) fn atlassian_document(document: &Value) {
    fits(&JIRA["document"], document, "the document");
}

/// A request is a query that Linear's schema has, and its variables are inputs of it.
#[track_caller]
pub(crate) fn linear(request: &Request) {
    let query = request.body["query"].as_str().expect("a query");
    let query = parse_query(query).expect("a query").into_static();
    let errors = validate(&LINEAR, &query, &default_rules_validation_plan());
    let errors: Vec<&str> = errors.iter().map(|err| err.message.as_str()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let text = request.body["query"].as_str().expect("a query");
    // `$input: CommentCreateInput!`
    if let Some((_, rest)) = text.split_once("$input: ") {
        let input = rest.split('!').next().expect("a type");
        let fields = fields(input);
        for (name, _) in request.body["variables"]["input"].as_object().expect("an input") {
            assert!(fields.contains(name), "{input} has no {name}");
        }
    }
}

/// An activity's content has the members that Linear has for its kind.
#[track_caller]
pub(crate) fn linear_content(content: &Value) {
    let kind = content["type"].as_str().expect("a kind");
    let (first, rest) = kind.split_at(1);
    let fields = fields(&format!("AgentActivity{}{rest}Content", first.to_uppercase()));
    for name in content.as_object().expect("an object").keys() {
        assert!(fields.contains(name), "{kind} has no {name}");
    }
}

#[track_caller]
fn fields(of: &str) -> Vec<String> {
    let found = LINEAR.definitions.iter().find_map(|definition| match definition {
        Definition::TypeDefinition(TypeDefinition::InputObject(input)) if input.name == of => {
            Some(input.fields.iter().map(|field| field.name.clone()).collect())
        }
        Definition::TypeDefinition(TypeDefinition::Object(object)) if object.name == of => {
            Some(object.fields.iter().map(|field| field.name.clone()).collect())
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("Linear has no {of}"))
}
