//! What a template may be made of. Whatever is not named here is refused, with its line.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::{Error, Value};

use super::{FILTERS, TESTS, VARIABLES, syntax};
use crate::limits;
use crate::template::InvalidField;
use crate::text;

const STATEMENTS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "set"];

/// Checks a template, and collects the strings that its author wrote into tags.
pub(super) fn literals(source: &str) -> Result<BTreeSet<String>, InvalidField> {
    check_tags(source)?;
    let template = parse(source, "prompt", syntax()).map_err(|err| invalid(err.line(), reason(&err)))?;
    let mut check = Check { assigned: BTreeSet::from(["loop"]), ..Check::default() };
    check.statement(&template)?;
    let known = |name: &&str| VARIABLES.contains(name) || check.assigned.contains(name);
    if let Some((name, line)) = check.read.iter().find(|(name, _)| !known(name)) {
        let hint = if *name == "payload" || *name == "body" { "; the payload is event" } else { "" };
        let reason = format!("there is no variable \"{}\", only {}{hint}", shown(name), VARIABLES.join(", "));
        return Err(invalid(Some(*line), reason));
    }
    Ok(check.literals)
}

/// What the engine says of an error, in one line.
pub(super) fn reason(err: &Error) -> String {
    let reason = err.detail().map_or_else(|| err.kind().to_string(), str::to_owned);
    text::shorten(&text::one_line(&reason), 300)
}

fn invalid(line: Option<usize>, reason: impl AsRef<str>) -> InvalidField {
    InvalidField::new("prompt", format!("line {}: {}", line.unwrap_or(1), reason.as_ref()))
}

fn shown(name: &str) -> String {
    text::shorten(name, 60)
}

/// Looks at tags before anything that recurses does: afterwards the syntax tree is known not to be deep.
fn check_tags(source: &str) -> Result<(), InvalidField> {
    let (mut tags, mut tokens, mut begins) = (0, 0, false);
    for token in tokenize(source, false, syntax()) {
        let (token, span) = token.map_err(|err| invalid(err.line(), reason(&err)))?;
        let no = |reason: String| Err(invalid(Some(span.start_line.into()), reason));
        match token {
            Token::VariableStart | Token::BlockStart => {
                (tags, tokens) = (tags + 1, 0);
                if tags > limits::PROMPT_TEMPLATE_TAGS {
                    return no(format!("more than {} tags", limits::PROMPT_TEMPLATE_TAGS));
                }
            }
            Token::Ident(name) if begins && !STATEMENTS.contains(&name) => return no(statement_reason(name)),
            _ => {}
        }
        begins = matches!(token, Token::BlockStart);
        tokens += 1;
        if tokens > limits::PROMPT_TEMPLATE_TAG_TOKENS {
            return no(format!("a tag of more than {} parts; make two of it", limits::PROMPT_TEMPLATE_TAG_TOKENS));
        }
    }
    Ok(())
}

fn statement_reason(name: &str) -> String {
    match name {
        "include" | "import" | "from" | "extends" | "block" => {
            format!("a prompt reads no other template, so that there is no \"{name}\"; write the text here")
        }
        _ => format!("there is no statement \"{}\", only if, for and set, and raw for text with braces", shown(name)),
    }
}

fn is_literal(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::Const(_) => true,
        Expr::UnaryOp(unary) => matches!(unary.expr, Expr::Const(_)),
        _ => false,
    }
}

fn is_small(end: &Option<Expr<'_>>) -> bool {
    let number = match end {
        None => return true,
        Some(Expr::UnaryOp(unary)) => unary.expr.as_const(),
        Some(end) => end.as_const(),
    };
    number.and_then(|number| number.as_i64()).is_some_and(|number| number <= 1_000_000)
}

#[derive(Default)]
struct Check<'a> {
    read: Vec<(&'a str, usize)>,
    assigned: BTreeSet<&'a str>,
    literals: BTreeSet<String>,
}

type Checked = Result<(), InvalidField>;

impl<'a> Check<'a> {
    fn statements(&mut self, all: &[Stmt<'a>]) -> Checked {
        all.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt<'a>) -> Checked {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::ForLoop(all) if all.recursive => {
                Err(invalid(Some(all.span().start_line.into()), "a loop may not be recursive"))
            }
            Stmt::ForLoop(all) => {
                self.expression(&all.iter)?;
                self.assign(&all.target)?;
                self.optional(all.filter_expr.as_ref())?;
                self.statements(&all.body)?;
                self.statements(&all.else_body)
            }
            Stmt::IfCond(cond) => {
                self.expression(&cond.expr)?;
                self.statements(&cond.true_body)?;
                self.statements(&cond.false_body)
            }
            Stmt::Set(set) => {
                self.expression(&set.expr)?;
                self.assign(&set.target)
            }
            Stmt::SetBlock(set) => {
                let reason = "set takes a value here, {% set x = … %}; text in a block would be marked twice";
                Err(invalid(Some(set.span().start_line.into()), reason))
            }
            // Refused by its name already.
            _ => Err(invalid(None, "a statement that is not if, for or set")),
        }
    }

    fn assign(&mut self, target: &Expr<'a>) -> Checked {
        let line = Some(target.span().start_line.into());
        match target {
            Expr::Var(var) if VARIABLES.contains(&var.id) => {
                Err(invalid(line, format!("\"{}\" is the event's; choose another name", var.id)))
            }
            Expr::Var(var) => {
                self.assigned.insert(var.id);
                Ok(())
            }
            _ => Err(invalid(line, "a value is given to one name")),
        }
    }

    fn optional(&mut self, expression: Option<&Expr<'a>>) -> Checked {
        expression.map_or(Ok(()), |expression| self.expression(expression))
    }

    fn expression(&mut self, expression: &Expr<'a>) -> Checked {
        let line: usize = expression.span().start_line.into();
        let no = |reason: &str| Err(invalid(Some(line), reason));
        match expression {
            Expr::Var(var) => {
                self.read.push((var.id, line));
                Ok(())
            }
            Expr::Const(constant) => {
                self.literal(&constant.value);
                Ok(())
            }
            Expr::GetAttr(attr) => self.expression(&attr.expr),
            Expr::GetItem(item) => {
                self.expression(&item.expr)?;
                self.expression(&item.subscript_expr)
            }
            // The engine calculates with these numbers, and they could be the largest there are.
            Expr::Slice(slice) if slice.step.is_none() && [&slice.start, &slice.stop].into_iter().all(is_small) => {
                self.expression(&slice.expr)
            }
            Expr::Slice(_) => no("a part is written [2:10], with numbers up to 1,000,000"),
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) || is_literal(&unary.expr) => {
                self.expression(&unary.expr)
            }
            Expr::BinOp(binary) => match binary.op {
                BinOpKind::Concat => no("there is no ~; write the parts beside one another, {{ a }}{{ b }}"),
                BinOpKind::Add
                | BinOpKind::Sub
                | BinOpKind::Mul
                | BinOpKind::Div
                | BinOpKind::FloorDiv
                | BinOpKind::Rem
                | BinOpKind::Pow => no("there is no arithmetic in prompts; loop.index counts a loop"),
                _ => {
                    self.expression(&binary.left)?;
                    self.expression(&binary.right)
                }
            },
            Expr::Compare(compare) => {
                self.expression(&compare.expr)?;
                compare.ops.iter().try_for_each(|op| self.expression(&op.expr))
            }
            Expr::IfExpr(cond) => {
                self.expression(&cond.test_expr)?;
                self.expression(&cond.true_expr)?;
                self.optional(cond.false_expr.as_ref())
            }
            Expr::Filter(filter) if !FILTERS.contains(&filter.name) => {
                no(&format!("there is no filter \"{}\", only {}", shown(filter.name), FILTERS.join(", ")))
            }
            Expr::Filter(filter) => {
                self.optional(filter.expr.as_ref())?;
                self.arguments(&filter.args, line)
            }
            Expr::Test(test) if !TESTS.contains(&test.name) => {
                no(&format!("there is no test \"{}\", only {}", shown(test.name), TESTS.join(", ")))
            }
            Expr::Test(test) => {
                self.expression(&test.expr)?;
                self.arguments(&test.args, line)
            }
            // Lists that hold other values could be made to hold themselves many times over.
            Expr::List(list) if list.items.iter().all(is_literal) => {
                list.items.iter().try_for_each(|item| self.expression(item))
            }
            Expr::List(_) => no("a list is one of strings and numbers"),
            Expr::Call(_) => no("there are no functions; filters are written value | filter"),
            Expr::UnaryOp(_) => no("there is no arithmetic in prompts"),
            _ => no("only lists of strings and numbers can be written here, [\"a\", \"b\"]"),
        }
    }

    fn arguments(&mut self, all: &[CallArg<'a>], line: usize) -> Checked {
        all.iter().try_for_each(|argument| match argument {
            CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.expression(value),
            _ => Err(invalid(Some(line), "arguments are written one by one")),
        })
    }

    fn literal(&mut self, value: &Value) {
        self.literals.extend(value.as_str().map(str::to_owned));
    }
}
