//! Filters: each operator, each refusal, and a naive evaluator as oracle.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits;

fn filter(json: &Value) -> Filter {
    Filter::parse(json).unwrap_or_else(|err| panic!("{err}"))
}

/// A pull request, as far as filters look at one.
fn event() -> Value {
    json!({
        "action": "opened", "number": 7, "ref": "refs/heads/main", "body": null, "score": 2.5, "draft": false, "big": u64::MAX,
        "labels": [{"name": "bug", "color": "red"}, {"name": "ui", "color": "blue"}], "none": [],
        "pull_request": {"base": {"ref": "release/1.2"}, "additions": 120, "files": ["src/a/b.rs", "README.md"]},
        "in": {"in": "x", "prefix": "y"}, "matrix": [[1, 2], [3]],
    })
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "rows are shorter so")]
fn check(json: Value, expected: bool) {
    let (filter, event) = (filter(&json), event());
    assert_eq!(filter.matches(&event), expected, "{json}");
    assert_eq!(naive(&json, Some(&event)), expected, "the oracle has {json}");
    let explained = filter.explain(&event);
    assert_eq!(explained.iter().all(|condition| condition.holds), expected, "{explained:?}");
}

#[test]
fn members_are_and_and_lists_are_or() {
    check(json!({}), true);
    check(json!({"action": "opened"}), true);
    check(json!({"action": "Opened"}), false);
    check(json!({"action": "opened", "number": 8}), false);
    check(json!({"action": ["closed", "opened"], "number": 7}), true);
    check(json!({"action": ["closed", {"prefix": "open"}]}), true);
    check(json!({"pull_request": {"base": {"ref": "release/1.2"}, "additions": 120}}), true);
    check(json!([{"action": "closed"}, {"number": 7}]), true);
    check(json!([{"action": "closed"}, {"number": 8}]), false);
    check(json!({"action": "opened".len()}), false);
    check(json!({"body": null}), true);
    check(json!({"draft": false}), true);
    check(json!({"draft": "false"}), false);
    check(json!({"action": {"length": 6}}), false);
}

#[test]
fn operators_hold() {
    check(json!({"action": {"in": ["opened", "edited"]}}), true);
    check(json!({"action": {"not_in": ["opened", "edited"]}}), false);
    check(json!({"ref": {"prefix": "refs/heads/", "not_in": ["refs/heads/next"]}}), true);
    check(json!({"ref": {"prefix": "refs/tags/"}}), false);
    check(json!({"ref": {"suffix": "/main"}}), true);
    check(json!({"ref": {"contains": "heads"}}), true);
    check(json!({"ref": {"glob": "refs/heads/*"}}), true);
    check(json!({"pull_request": {"base": {"ref": {"glob": "release/*"}}}}), true);
    check(json!({"pull_request": {"base": {"equals": {"ref": "release/1.2"}}}}), true);
    check(json!({"pull_request": {"equals": {"additions": 120}}}), false);
    check(json!({"number": {"prefix": "7"}}), false);
    check(json!({"action": {"gt": 1}}), false);
}

#[test]
fn numbers_are_compared_by_value_and_exactly() {
    check(json!({"number": 7.0}), true);
    check(json!({"number": {"gte": 7, "lt": 7.5}}), true);
    check(json!({"number": {"gt": 7}}), false);
    check(json!({"number": {"lte": 6.999}}), false);
    check(json!({"score": {"gt": 2, "lt": 3}}), true);
    check(json!({"score": {"in": [2.5]}}), true);
    check(json!({"score": {"gt": -3.5}}), true);
    check(json!({"big": u64::MAX}), true);
    check(json!({"big": u64::MAX - 1}), false);
    check(json!({"big": {"gt": u64::MAX - 1}}), true);
    // The float next to it is 2^64, which is one more.
    check(json!({"big": 18_446_744_073_709_551_615.0}), false);
    check(json!({"big": {"lt": 18_446_744_073_709_551_615.0, "gt": 1.8e19}}), true);
    check(json!({"number": {"lt": 1e300, "gt": -1e300}}), true);
    check(json!({"number": {"gt": -0.5, "not_in": [6.5, 7.5]}}), true);
}

#[test]
fn what_is_absent_matches_exists_false_and_not_in_alone() {
    check(json!({"nope": {"exists": false}}), true);
    check(json!({"nope": {"exists": true}}), false);
    check(json!({"nope": {"not_in": ["a", null]}}), true);
    check(json!({"nope": {"not_in": ["a"], "exists": true}}), false);
    for wanted in [json!(null), json!("x"), json!({"in": [null]}), json!({"gte": 0}), json!({"equals": null})] {
        check(json!({"nope": wanted}), false);
    }
    check(json!({"nope": {"a": {"b": {"exists": false}}}}), true);
    check(json!({"nope": {"a": {"b": "x"}}}), false);
    check(json!({"action": {"a": {"exists": false}}}), true);
    check(json!({"body": {"exists": true}}), true);
    check(json!({"body": {"login": {"exists": false}}}), true);
}

#[test]
fn of_an_array_one_element_must_match_and_none_must_be_what_is_excluded() {
    check(json!({"labels": {"name": "ui"}}), true);
    check(json!({"labels": {"name": "ui", "color": "blue"}}), true);
    check(json!({"labels": {"name": "ui", "color": "red"}}), false);
    check(json!({"labels": {"name": ["wip", "bug"]}}), true);
    check(json!({"labels": {"name": {"not_in": ["wip"]}}}), true);
    check(json!({"labels": {"name": {"not_in": ["wip", "ui"]}}}), false);
    check(json!({"labels": {"name": {"not_in": ["wip"]}, "color": {"exists": true}}}), true);
    check(json!({"labels": {"name": {"not_in": ["bug"]}, "color": "blue"}}), false);
    check(json!({"labels": {"name": {"not_in": ["wip"]}, "color": "green"}}), false);
    check(json!({"labels": {"owner": {"exists": false}}}), true);
    check(json!({"labels": {"name": {"exists": false}}}), false);
    check(json!({"pull_request": {"files": "README.md"}}), true);
    check(json!({"pull_request": {"files": {"glob": "src/**/*.rs"}}}), true);
    check(json!({"pull_request": {"files": {"not_in": ["LICENSE"]}}}), true);
    check(json!({"pull_request": {"files": {"not_in": ["README.md"]}}}), false);
    check(json!({"pull_request": {"files": {"not_in": ["README.md"], "suffix": ".rs"}}}), false);
    check(json!({"pull_request": {"files": {"not_in": ["LICENSE"], "suffix": ".rs"}}}), true);
    check(json!({"pull_request": {"files": {"equals": ["src/a/b.rs", "README.md"]}}}), true);
    check(json!({"pull_request": {"files": {"equals": "README.md"}}}), true);
    check(json!({"matrix": 3}), true);
    check(json!({"matrix": {"gt": 1, "lt": 3}}), true);
    check(json!({"matrix": {"not_in": [2]}}), false);
    check(json!({"none": {"exists": true}}), true);
    check(json!({"none": {"exists": false}}), false);
    check(json!({"none": {"not_in": [1]}}), true);
    check(json!({"none": "x"}), false);
    check(json!({"none": {"name": {"not_in": ["wip"]}}}), true);
    check(json!({"labels": {"exists": true, "has": {"name": "bug"}}}), true);
}

#[test]
fn members_that_are_called_like_operators_are_reached_with_has() {
    check(json!({"has": {"in": {"has": {"in": "x"}}}}), true);
    check(json!({"has": {"in": {"has": {"in": "x", "prefix": {"prefix": "y"}}}, "action": "opened"}}), true);
    check(json!({"has": {"in": {"has": {"in": "z"}}}}), false);
    check(json!({"labels": {"has": {"name": "ui", "color": "blue"}}}), true);
}

#[test]
fn what_could_not_be_meant_is_refused_with_its_place() {
    #[track_caller]
    fn check(json: &Value, expected: &str) {
        let told = Filter::parse(json).map_or_else(|err| err.to_string(), |_| "ok".to_owned());
        assert!(told.starts_with(expected), "{told}");
    }
    check(&json!("opened"), "filter: an object that mirrors the payload");
    check(&json!(null), "filter: an object");
    check(&json!(["a"]), "filter: an object");
    check(&json!([]), "filter: an empty list");
    check(&json!({"in": ["a"]}), "filter.in: an operator needs a member");
    check(&json!({"action": []}), "filter.action: an empty list matches nothing");
    check(&json!({"action": {}}), "filter.action: says nothing; leave it out, or write {\"exists\": true}");
    check(&json!({"pull_request": {"in": ["a"], "base": "b"}}), "filter.pull_request.in: an operator beside \"base\"");
    check(&json!({"a": [{"b": {"in": "x"}}]}), "filter.a[0].b.in: a list of one or more");
    check(&json!({"a": {"in": []}}), "filter.a.in: a list");
    check(&json!({"a": {"not_in": [["x"]]}}), "filter.a.not_in: a list");
    check(&json!({"a": {"exists": "true"}}), "filter.a.exists: true or false; for a member of the payload");
    check(&json!({"a": {"prefix": ""}}), "filter.a.prefix: a string");
    check(&json!({"a": {"gt": "1"}}), "filter.a.gt: a number");
    check(&json!({"a": {"has": {}}}), "filter.a.has: an object");
    check(&json!({"a": {"glob": "*".repeat(121)}}), "filter.a.glob: has 121 characters, at most 120");
    check(&json!({"a": {"glob": "a\\"}}), "filter.a.glob: ends with a backslash");
    check(&json!({"a\nb": {"gt": "1"}}), "filter.a b.gt: a number");

    let nested = |levels: usize| (0..levels).fold(json!("x"), |inner, _| json!({"a": inner}));
    check(&nested(limits::FILTER_DEPTH), "ok");
    check(&nested(limits::FILTER_DEPTH + 1), &format!("filter{}: more than 16", ".a".repeat(16)));
    check(&json!({"a": {"equals": nested(limits::FILTER_DEPTH - 1)}}), "filter.a.equals: more than 16");
    check(&json!({"a": vec!["x"; limits::FILTER_CONDITIONS]}), "ok");
    check(&json!({"a": vec!["x"; limits::FILTER_CONDITIONS + 1]}), "filter.a[200]: more than 200 conditions");
    check(&json!({"a": {"in": vec!["x"; 2_000]}}), "ok");
    check(&json!({"a": {"in": vec!["x".repeat(16); 1_000]}}), "filter: has 19");
}

#[test]
fn json_stays_as_it_was_given() {
    let given = r#"{"action":["opened",{"in":["edited"]}],"number":{"gt":1.0,"lt":1e30}}"#;
    let filter: Filter = serde_json::from_str(given).unwrap();
    assert_eq!(serde_json::to_value(&filter).unwrap(), serde_json::from_str::<Value>(given).unwrap());
    assert_eq!(serde_json::from_str::<Filter>(&serde_json::to_string(&filter).unwrap()).unwrap(), filter);
    assert!(Filter::default().is_empty() && !filter.is_empty());
    assert_eq!(serde_json::to_string(&Filter::default()).unwrap(), "{}");
    assert!(serde_json::from_str::<Filter>(r#"{"a": {"in": 1}}"#).unwrap_err().to_string().contains("filter.a.in"));
}

#[test]
fn people_see_why_an_event_did_not_match() {
    #[track_caller]
    fn check(json: &Value, expected: &[&str]) {
        let line = |c: Condition| format!("{} {}: {} | {}", if c.holds { "+" } else { "-" }, c.path, c.wanted, c.found);
        assert_eq!(filter(json).explain(&event()).into_iter().map(line).collect::<Vec<_>>(), expected);
    }
    check(&json!({}), &[]);
    check(
        &json!({"action": ["opened", "edited"], "number": {"gt": 9}}),
        &["+ action: [\"opened\",\"edited\"] | \"opened\"", "- number: {\"gt\":9} | 7"],
    );
    check(
        &json!({"pull_request": {"head": {"ref": "x"}, "base": {"sha": {"exists": false}}}}),
        &[
            "+ pull_request.base.sha: {\"exists\":false} | absent; pull_request.base has ref",
            "- pull_request.head.ref: \"x\" | absent; pull_request has additions, base, files",
        ],
    );
    check(&json!({"action": {"a": 1}}), &["- action.a: 1 | absent; action is \"opened\""]);
    check(
        &json!({"nope": 1}),
        &[
            "- nope: 1 | absent; the payload has action, big, body, draft, in, labels, matrix, none, number, pull_request, ref, \
           score",
        ],
    );
    check(
        &json!({"labels": {"name": "wip"}}),
        &["- labels: {\"name\":\"wip\"} | [{\"color\":\"red\",\"name\":\"bug\"},{\"color\":\"blue\",\"name\":\"ui\"}]"],
    );
    check(&json!({"has": {"in": {"has": {"in": "z"}}}}), &["- in.in: \"z\" | \"x\""]);
    check(
        &json!([{"action": "closed"}]),
        &[&format!("- payload: [{{\"action\":\"closed\"}}] | {}", crate::text::shorten(&event().to_string(), 120))],
    );
    let long = filter(&json!({"a": "b"})).explain(&json!({"a": "é\n".repeat(100_000)}));
    assert!(long[0].found.chars().count() <= 121 && long[0].found.ends_with('…'), "{}", long[0].found);
}

/// Another evaluator, straight from the JSON. For an array, it makes two filters of one: what is wanted and what is not.
fn naive(filter: &Value, found: Option<&Value>) -> bool {
    match (filter, found) {
        (Value::Array(items), _) => items.iter().any(|item| naive(item, found)),
        (Value::Object(members), Some(Value::Array(elements))) => {
            let mut rest = members.clone();
            if is_operators(members) {
                if rest.remove("exists") == Some(json!(false)) {
                    return false;
                }
                if rest.get("equals").is_some_and(|equals| naive_equal(found.unwrap(), equals)) {
                    rest.remove("equals");
                }
            }
            let rest = Value::Object(rest);
            let wanted = half(&rest, false).is_none_or(|half| elements.iter().any(|found| naive(&half, Some(found))));
            wanted && half(&rest, true).is_none_or(|half| elements.iter().all(|found| naive(&half, Some(found))))
        }
        (Value::Object(members), _) if is_operators(members) => {
            members.iter().all(|(name, wanted)| naive_operator(name, wanted, found))
        }
        (Value::Object(members), _) => {
            members.iter().all(|(name, filter)| naive(filter, found.and_then(|found| found.get(name))))
        }
        (literal, Some(Value::Array(elements))) => elements.iter().any(|found| naive(literal, Some(found))),
        (literal, _) => found.is_some_and(|found| naive_equal(found, literal)),
    }
}

/// The conditions that say what must be, or those that say what must not.
fn half(filter: &Value, unwanted: bool) -> Option<Value> {
    let halves = |members: &Map<String, Value>| {
        let halves = members.iter().filter_map(|(name, filter)| Some((name.clone(), half(filter, unwanted)?)));
        Some(halves.collect::<Map<_, _>>()).filter(|half| !half.is_empty())
    };
    match filter {
        Value::Array(items) => {
            let all_unwanted = items.iter().all(|item| half(item, false).is_none());
            (all_unwanted == unwanted).then(|| filter.clone())
        }
        Value::Object(members) if is_operators(members) => {
            let operator = |(name, wanted): (&String, &Value)| match name.as_str() {
                "has" => Some((name.clone(), Value::Object(halves(wanted.as_object().unwrap())?))),
                _ => {
                    let is_unwanted = name == "not_in" || (name == "exists" && *wanted == json!(false));
                    (is_unwanted == unwanted).then(|| (name.clone(), wanted.clone()))
                }
            };
            let half: Map<_, _> = members.iter().filter_map(operator).collect();
            (!half.is_empty()).then_some(Value::Object(half))
        }
        Value::Object(members) => halves(members).map(Value::Object),
        literal => (!unwanted).then(|| literal.clone()),
    }
}

fn naive_operator(name: &str, wanted: &Value, found: Option<&Value>) -> bool {
    let is_in = |list: &Value| list.as_array().unwrap().iter().any(|item| found.is_some_and(|f| naive_equal(f, item)));
    let text = |holds: fn(&str, &str) -> bool| {
        found.and_then(Value::as_str).is_some_and(|text| holds(text, wanted.as_str().unwrap()))
    };
    // Numbers of these tests are small enough for floats.
    let number = |holds: fn(&f64, &f64) -> bool| {
        found.and_then(Value::as_f64).is_some_and(|number| holds(&number, &wanted.as_f64().unwrap()))
    };
    match name {
        "equals" => found.is_some_and(|found| naive_equal(found, wanted)),
        "in" => is_in(wanted),
        "not_in" => !is_in(wanted),
        "exists" => *wanted == json!(found.is_some()),
        "prefix" => text(|text, part| text.starts_with(part)),
        "suffix" => text(|text, part| text.ends_with(part)),
        "contains" => text(|text, part| text.contains(part)),
        "glob" => text(|text, glob| glob.parse::<Glob>().unwrap().matches(text)),
        "gt" if found == Some(&json!(u64::MAX)) => wanted.as_u64() != Some(u64::MAX),
        "lt" if found == Some(&json!(u64::MAX)) => wanted.as_f64() >= Some(18_446_744_073_709_551_615.0),
        "gt" => number(f64::gt),
        "gte" => number(f64::ge),
        "lt" => number(f64::lt),
        "lte" => number(f64::le),
        "has" => {
            let mut members = wanted.as_object().unwrap().iter();
            members.all(|(name, filter)| naive(filter, found.and_then(|found| found.get(name))))
        }
        other => panic!("{other}"),
    }
}

/// By spelling, numbers in one way.
fn naive_equal(a: &Value, b: &Value) -> bool {
    fn spelled(value: &Value) -> String {
        match value {
            Value::Number(n) if n.is_f64() => format!("{:.3}", n.as_f64().unwrap()),
            Value::Number(n) => format!("{n}.000"),
            Value::Array(items) => format!("{:?}", items.iter().map(spelled).collect::<Vec<_>>()),
            Value::Object(members) => {
                format!("{{{:?}}}", members.iter().map(|(k, v)| (k, spelled(v))).collect::<Vec<_>>())
            }
            other => other.to_string(),
        }
    }
    spelled(a) == spelled(b)
}

fn is_operators(object: &Map<String, Value>) -> bool {
    !object.is_empty() && object.keys().all(|name| OPERATORS.contains(&name.as_str()))
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        (-2..3_i64).prop_map(|n| json!(n)),
        (-4..5_i64).prop_map(|n| json!(n as f64 / 2.0)),
        "[ab/]{0,3}".prop_map(Value::from),
    ]
}

const NAMES: &str = "[abc]";

fn payload() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            2 => prop::collection::btree_map(NAMES, inner.clone(), 0..4).prop_map(|m| json!(m)),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

fn operators(inner: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let list = || prop::collection::vec(scalar(), 1..4).prop_map(Value::from);
    let number = || (-4..5_i64).prop_map(|n| json!(n as f64 / 2.0));
    let text = || "[ab/]{1,2}".prop_map(Value::from);
    let one = prop_oneof![
        ("in|not_in", list()),
        (Just("not_in".to_owned()), list()),
        (Just("exists".to_owned()), any::<bool>().prop_map(Value::from)),
        ("prefix|suffix|contains", text()),
        (Just("glob".to_owned()), "[ab/*?]{1,4}".prop_map(Value::from)),
        ("gt|gte|lt|lte", number()),
        (Just("equals".to_owned()), payload()),
        (Just("has".to_owned()), prop::collection::btree_map(NAMES, inner, 1..3).prop_map(|m| json!(m))),
    ];
    prop::collection::vec(one, 1..3).prop_map(|all| Value::Object(all.into_iter().collect()))
}

fn inner_filter() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 20, 3, |inner| {
        prop_oneof![
            2 => prop::collection::btree_map(NAMES, inner.clone(), 1..3).prop_map(|m| json!(m)),
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            2 => operators(inner),
        ]
    })
}

fn members() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(NAMES, inner_filter(), 0..3).prop_map(|m| m.into_iter().collect())
}

/// Any JSON, with the names of operators in it.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![prop::sample::select(&OPERATORS[..]).prop_map(str::to_owned), any::<String>()];
    let leaf = prop_oneof![scalar(), any::<f64>().prop_map(|f| json!(f)), any::<u64>().prop_map(|n| json!(n))];
    prop_oneof![leaf, any::<String>().prop_map(Value::from)].prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::btree_map(name.clone(), inner.clone(), 0..5).prop_map(|m| json!(m)),
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
        ]
    })
}

proptest! {
    #[test]
    fn it_decides_as_the_oracle_does(members in members(), payload in payload()) {
        let json = Value::Object(members);
        let filter = filter(&json);
        let matches = filter.matches(&payload);
        prop_assert_eq!(matches, naive(&json, Some(&payload)), "{} {}", json, payload);
        prop_assert_eq!(filter.explain(&payload).iter().all(|c| c.holds), matches, "{} {}", json, payload);
    }

    #[test]
    fn another_member_never_matches_more(members in members(), name in NAMES, more in inner_filter(), payload in payload()) {
        let mut narrower = members.clone();
        if narrower.insert(name, more).is_none() && filter(&Value::Object(narrower)).matches(&payload) {
            prop_assert!(filter(&Value::Object(members)).matches(&payload));
        }
    }

    #[test]
    fn a_list_is_the_or_of_its_items(name in NAMES, items in prop::collection::vec(inner_filter(), 1..4), payload in payload()) {
        // Not below an array, where what is wanted and what is not are asked of different elements.
        let payload = json!({&name: payload});
        let any = items.iter().any(|item| filter(&json!({&name: item})).matches(&payload));
        prop_assert_eq!(filter(&json!({&name: items})).matches(&payload), any);
    }

    #[test]
    fn not_in_is_the_negation_of_in_for_what_is_there(list in prop::collection::vec(scalar(), 1..4), found in scalar()) {
        let says = |operator: &str| filter(&json!({"a": {operator: list}})).matches(&json!({"a": found}));
        prop_assert_ne!(says("in"), says("not_in"));
    }

    #[test]
    fn the_empty_filter_takes_every_event_and_no_json_makes_it_panic(json in any_json(), payload in any_json()) {
        prop_assert!(Filter::default().matches(&payload));
        if let Ok(filter) = Filter::parse(&json) {
            let holds = filter.explain(&payload).iter().all(|c| c.holds);
            prop_assert_eq!(filter.matches(&payload), holds);
            prop_assert_eq!(Value::from(filter), json);
        }
    }
}
