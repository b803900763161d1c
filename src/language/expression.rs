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
        let tree = evalexpr::build_operator_tree(text).map_err(|error| syntax_error(text, &error))?;
        if tree.children().is_empty() {
            return Err(LanguageError::new("the expression is empty")
                .help("write a condition such as: status != \"healthy\"".to_owned()));
        }
        refuse_statements(&tree)?;
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

fn syntax_error(text: &str, error: &evalexpr::EvalexprError) -> LanguageError {
    let problem = LanguageError::new(format!("not a valid expression: {error}"));
    if text.contains('\'') {
        return problem.help("text is written in double quotes: status == \"healthy\"".to_owned());
    }
    if text.contains(" and ") || text.contains(" or ") || text.contains("not ") {
        return problem.help("write && for and, || for or, ! for not".to_owned());
    }
    problem.help("operators are && || ! == != < <= > >= + - * / %".to_owned())
}

/// The reader of the text lets an operator stand without what belongs beside it.
fn refuse_gaps(tree: &Node) -> Result<(), LanguageError> {
    use Operator as O;
    let children = tree.children();
    let wanted = match tree.operator() {
        // `now()` has an empty pair of parentheses.
        O::FunctionIdentifier { .. } if children.first().is_some_and(is_empty_pair) => return Ok(()),
        O::RootNode if children.is_empty() => return Err(LanguageError::new("the parentheses are empty")),
        O::RootNode | O::Neg | O::Not | O::FunctionIdentifier { .. } => 1,
        O::Const { .. } | O::VariableIdentifierRead { .. } => 0,
        O::Tuple => children.len(),
        _ => 2,
    };
    if children.len() != wanted {
        let operator = tree.operator().to_string();
        return Err(LanguageError::new(format!("something is missing beside '{}'", operator.trim())));
    }
    children.iter().try_for_each(refuse_gaps)
}

fn is_empty_pair(node: &Node) -> bool {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Knows three names, one of each type that matters.
    struct World;

    impl Names for World {
        fn type_of(&self, name: &str) -> Result<Type, LanguageError> {
            match name {
                "size" => Ok(Type::Int),
                "kind" => Ok(Type::String),
                "exists" => Ok(Type::Bool),
                _ => Err(LanguageError::new(format!("'{name}' is not known"))),
            }
        }
    }

    impl Scope for World {
        fn lookup(&self, name: &str) -> Lookup {
            match name {
                "size" => Lookup::Value(json!(7)),
                "kind" => Lookup::Value(json!("file")),
                "exists" => Lookup::Value(json!(true)),
                _ => Lookup::Missing("not known".into()),
            }
        }
    }

    #[test]
    fn an_operator_without_its_operands_is_a_mistake() {
        for text in ["size >", "> 3", "exists &&", "|| exists", "!", "size ==", "size -", "()", "size > ()", "max(1,)"]
        {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn complete_expressions_are_accepted() {
        for text in ["size > -1", "!!exists", "(exists) && (size > (2 + 3) * 4)", "max(1, size) > 0", "size % 2 == 1"] {
            let expression = Expression::parse(text).unwrap();
            assert!(expression.check(&World).is_ok(), "{text}");
            assert!(expression.truth(&World).known().is_some(), "{text}");
        }
    }

    proptest! {
        /// Whatever people type, it is a mistake or a verdict, never a crash.
        #[test]
        fn no_text_stops_the_program(words in prop::collection::vec(prop::sample::select(vec![
            "size", "kind", "exists", "unknown", "3", "1.5", "15m", "\"text\"", "true", "(", ")", "()", ",", "!", "-",
            "+", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">=", "&&", "||", "=", "+=", ";", "max", "len", "'",
        ]), 0..9)) {
            if let Ok(expression) = Expression::parse(&words.join(" ")) {
                let _ = expression.check(&World);
                let _ = expression.truth(&World);
                let _ = expression.value(&World);
            }
        }
    }
}
