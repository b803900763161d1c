//! Conditions such as `exists && size > 0`.
//!
//! `evalexpr` reads the text into a tree; meaning is given here, because a runbook needs what a
//! general language does not: three truth values (a probe that did not answer is neither true nor
//! false), numbers with units (`15m`, `512MiB`), and no assignment, so that an expression can change
//! nothing and always ends.

use evalexpr::{Node, Operator};
use serde_json::Value;

use super::{LanguageError, Lookup, Names, Scope, Truth, evaluate, typecheck};
use crate::base::{Type, units};

/// Longer conditions are a sign of a missing step, and a bound keeps evaluation instant.
const MAX_LENGTH: usize = 2_000;
/// Parsing and evaluation call themselves once a level; this many fit into the smallest stack of a thread.
const MAX_DEPTH: usize = 100;

/// A parsed condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    tree: Node,
    references: Vec<String>,
}

impl Expression {
    pub fn parse(text: &str) -> Result<Self, LanguageError> {
        if text.len() > MAX_LENGTH {
            return Err(LanguageError::new(format!("the expression is longer than {MAX_LENGTH} characters")));
        }
        if nesting(text) > MAX_DEPTH {
            return Err(too_deep());
        }
        let tree = evalexpr::build_operator_tree(text).map_err(|error| syntax_error(text, &error))?;
        if tree.children().is_empty() {
            return Err(LanguageError::new("the expression is empty")
                .help("write a condition such as: status != \"healthy\"".to_owned()));
        }
        if depth(&tree) > MAX_DEPTH {
            return Err(too_deep());
        }
        refuse_statements(&tree)?;
        refuse_strangers(text, &tree)?;
        refuse_gaps(&tree)?;
        let mut references: Vec<String> = Vec::new();
        for name in tree.iter_read_variable_identifiers() {
            if parse_unit(name).is_none() && !references.iter().any(|known| known == name) {
                references.push(name.to_owned());
            }
        }
        Ok(Expression { text: text.to_owned(), tree, references })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The dotted names it reads, each once, in their order.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    /// The numbers that are written in it, those with units in seconds or bytes.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = Vec::new();
        collect_numbers(&self.tree, &mut numbers);
        numbers
    }

    /// The type of its value, or every mistake in it.
    pub fn check(&self, names: &dyn Names) -> Result<Type, Vec<LanguageError>> {
        typecheck::check(&self.text, &self.tree, names)
    }

    /// Whether it holds.
    pub fn truth(&self, scope: &dyn Scope) -> Truth {
        evaluate::truth(&self.tree, scope)
    }

    /// Its value, or why there is none.
    pub fn value(&self, scope: &dyn Scope) -> Result<Value, String> {
        evaluate::value(&self.tree, scope)
    }

    /// The values it reads, as evidence for its verdict. Names without a value are left out.
    pub fn values(&self, scope: &dyn Scope) -> Vec<(String, Value)> {
        let known = |name: &String| match scope.lookup(name) {
            Lookup::Value(value) => Some((name.clone(), value)),
            Lookup::Missing(_) => None,
        };
        self.references.iter().filter_map(known).collect()
    }
}

fn collect_numbers(node: &Node, numbers: &mut Vec<f64>) {
    match node.operator() {
        Operator::Const { value } => numbers.extend(value.as_number().ok()),
        Operator::VariableIdentifierRead { identifier } => {
            numbers.extend(parse_unit(identifier).map(|(number, _)| number));
        }
        _ => {}
    }
    node.children().iter().for_each(|child| collect_numbers(child, numbers));
}

/// The number that a literal with a unit stands for: seconds or bytes.
pub(super) fn parse_unit(word: &str) -> Option<(f64, Type)> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Ok(duration) = units::parse_duration(word) {
        return Some((duration.as_secs_f64(), Type::Duration));
    }
    units::parse_bytes(word).ok().map(|bytes| (bytes as f64, Type::Bytes))
}

const QUOTES: &str = "text is written in double quotes: status == \"healthy\"";
const WORDS: &str = "write && for and, || for or, ! for not";

fn syntax_error(text: &str, error: &evalexpr::EvalexprError) -> LanguageError {
    let problem = LanguageError::new(format!("not a valid expression: {error}"));
    if text.contains('\'') {
        return problem.help(QUOTES.to_owned());
    }
    if text.contains(" and ") || text.contains(" or ") || text.contains("not ") {
        return problem.help(WORDS.to_owned());
    }
    problem.help("operators are && || ! == != < <= > >= + - * / %".to_owned())
}

fn too_deep() -> LanguageError {
    LanguageError::new(format!("the expression is nested deeper than {MAX_DEPTH} levels"))
        .help("decide a part of it in a step of its own".to_owned())
}

/// How deep parentheses and signs are nested, told from the text, before anything calls itself.
fn nesting(text: &str) -> usize {
    let (mut open, mut signs, mut deepest, mut quoted) = (0_usize, 0, 0, false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            '!' | '-' => signs += 1,
            letter if letter.is_whitespace() => {}
            _ => signs = 0,
        }
        deepest = deepest.max(open + signs);
    }
    deepest
}

fn depth(tree: &Node) -> usize {
    1 + tree.children().iter().map(depth).max().unwrap_or(0)
}

/// The parser takes anything without a space for a name, even `'text'` and `and`.
fn refuse_strangers(text: &str, tree: &Node) -> Result<(), LanguageError> {
    let is_name = |name: &str| name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.'));
    for name in tree.iter_identifiers() {
        let problem = LanguageError::new(format!("not a valid expression: '{name}' is not a name"));
        let start = text.find(name);
        let problem = LanguageError { at: start.map(|start| (start, name.len())), ..problem };
        match name {
            "and" | "or" | "not" | "AND" | "OR" | "NOT" => return Err(problem.help(WORDS.to_owned())),
            name if name.contains('\'') => return Err(problem.help(QUOTES.to_owned())),
            name if !is_name(name) => return Err(problem),
            _ => {}
        }
    }
    Ok(())
}

/// The parser accepts `a &&` and `()`; every operator here has all its operands.
fn refuse_gaps(tree: &Node) -> Result<(), LanguageError> {
    use Operator as O;
    let operator = tree.operator();
    let wanted = match operator {
        O::Const { .. } | O::VariableIdentifierRead { .. } => 0..=0,
        O::RootNode | O::Neg | O::Not => 1..=1,
        // A call whose parentheses are empty is judged with the function's other mistakes.
        O::FunctionIdentifier { .. } if matches!(tree.children(), [only] if is_empty_parentheses(only)) => {
            return Ok(());
        }
        O::FunctionIdentifier { .. } => 1..=1,
        O::Tuple => 1..=usize::MAX,
        _ => 2..=2,
    };
    if !wanted.contains(&tree.children().len()) {
        let message = match operator {
            O::RootNode => "a pair of parentheses is empty".to_owned(),
            _ => format!("something is missing beside '{}'", operator.to_string().trim()),
        };
        return Err(LanguageError::new(message));
    }
    tree.children().iter().try_for_each(refuse_gaps)
}

fn is_empty_parentheses(node: &Node) -> bool {
    *node.operator() == Operator::RootNode && node.children().is_empty()
}

/// Expressions only observe: assignments and chains of statements are not part of the language.
fn refuse_statements(tree: &Node) -> Result<(), LanguageError> {
    use Operator as O;
    match tree.operator() {
        O::RootNode
        | O::Add
        | O::Sub
        | O::Neg
        | O::Mul
        | O::Div
        | O::Mod
        | O::Eq
        | O::Neq
        | O::Gt
        | O::Lt
        | O::Geq
        | O::Leq
        | O::And
        | O::Or
        | O::Not
        | O::Tuple
        | O::Const { .. }
        | O::VariableIdentifierRead { .. }
        | O::FunctionIdentifier { .. } => tree.children().iter().try_for_each(refuse_statements),
        O::Exp => Err(LanguageError::new("powers are not part of expressions")),
        O::Chain => Err(LanguageError::new("one expression only: remove the ';'")),
        _ => Err(LanguageError::new("an expression cannot assign").help("compare with '=='".to_owned())),
    }
}
