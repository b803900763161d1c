//! Types of expressions before anything runs: unknown names, wrong types and impossible comparisons.

use evalexpr::{Node, Operator, Value as Constant};

use super::evaluate::arguments;
use super::expression::parse_unit;
use super::{FUNCTIONS, LanguageError, Names, functions};
use crate::base::{Type, suggestion};

pub(super) fn check(text: &str, tree: &Node, names: &dyn Names) -> Result<Type, Vec<LanguageError>> {
    let mut checker = Checker { text, names, problems: Vec::new() };
    let kind = checker.type_of(tree);
    if checker.problems.is_empty() { Ok(kind) } else { Err(checker.problems) }
}

struct Checker<'a> {
    text: &'a str,
    names: &'a dyn Names,
    problems: Vec<LanguageError>,
}

impl Checker<'_> {
    fn type_of(&mut self, node: &Node) -> Type {
        use Operator as O;
        match node.operator() {
            O::RootNode => self.type_of(&node.children()[0]),
            O::Const { value } => constant_type(value),
            O::VariableIdentifierRead { identifier } => self.name(identifier),
            O::FunctionIdentifier { identifier } => self.call(identifier, &node.children()[0]),
            O::And | O::Or | O::Not => {
                node.children().iter().for_each(|part| self.expect(part, "true or false", |kind| *kind == Type::Bool));
                Type::Bool
            }
            O::Eq | O::Neq => {
                self.comparable(&node.children()[0], &node.children()[1]);
                Type::Bool
            }
            O::Gt | O::Lt | O::Geq | O::Leq => {
                node.children().iter().for_each(|part| self.expect(part, "a number", Type::is_number));
                Type::Bool
            }
            O::Add => self.sum(node),
            O::Tuple => Type::List(Box::new(
                node.children().iter().map(|part| self.type_of(part)).next_back().unwrap_or(Type::Any),
            )),
            _ => {
                node.children().iter().for_each(|part| self.expect(part, "a number", Type::is_number));
                Type::Float
            }
        }
    }

    /// Numbers are added, texts are joined.
    fn sum(&mut self, node: &Node) -> Type {
        let kinds: Vec<Type> = node.children().iter().map(|part| self.type_of(part)).collect();
        if kinds.iter().all(|kind| *kind == Type::Any) {
            return Type::Any;
        }
        let joins = kinds.iter().any(Type::is_text);
        for (part, kind) in node.children().iter().zip(&kinds) {
            let fits = *kind == Type::Any || if joins { kind.is_text() } else { kind.is_number() };
            if !fits {
                let wanted = if joins { "text" } else { "a number" };
                let problem = LanguageError::new(format!("expected {wanted}, but this is {kind}"));
                self.problems.push(self.pointing(problem, part));
            }
        }
        if joins { Type::String } else { Type::Float }
    }

    fn name(&mut self, name: &str) -> Type {
        if let Some((_, kind)) = parse_unit(name) {
            return kind;
        }
        self.names.type_of(name).unwrap_or_else(|problem| {
            self.problems.push(problem.pointing_at(self.text, name));
            Type::Any
        })
    }

    fn call(&mut self, name: &str, argument: &Node) -> Type {
        let kinds: Vec<Type> = arguments(argument).into_iter().map(|part| self.type_of(part)).collect();
        let Some(function) = functions::find(name) else {
            let help = suggestion::did_you_mean(name, FUNCTIONS.iter().map(|function| function.name));
            self.problems.push(
                LanguageError::new(format!("there is no function '{name}'")).help(help).pointing_at(self.text, name),
            );
            return Type::Any;
        };
        let (least, most) = function.arguments;
        if !(least..=most).contains(&kinds.len()) {
            let problem = LanguageError::new(format!("'{name}' got {} arguments", kinds.len()));
            self.problems.push(problem.help(format!("write {}", function.usage)).pointing_at(self.text, name));
        }
        (function.result)(&kinds)
    }

    fn expect(&mut self, node: &Node, wanted: &str, accept: impl Fn(&Type) -> bool) {
        let kind = self.type_of(node);
        if kind != Type::Any && !accept(&kind) {
            let problem = LanguageError::new(format!("expected {wanted}, but this is {kind}"));
            self.problems.push(self.pointing(problem, node));
        }
    }

    fn pointing(&self, problem: LanguageError, node: &Node) -> LanguageError {
        // The iterator does not show the node it starts from.
        let own = match node.operator() {
            Operator::VariableIdentifierRead { identifier } => Some(identifier.as_str()),
            _ => None,
        };
        match own.or_else(|| node.iter_identifiers().next()) {
            Some(name) => problem.pointing_at(self.text, name),
            None => problem,
        }
    }

    fn comparable(&mut self, left: &Node, right: &Node) {
        let (left_type, right_type) = (self.type_of(left), self.type_of(right));
        let alike = (left_type.is_number() && right_type.is_number())
            || (left_type.is_text() && right_type.is_text())
            || left_type == right_type
            || left_type == Type::Any
            || right_type == Type::Any;
        if !alike {
            let problem = LanguageError::new(format!("{left_type} is never equal to {right_type}"));
            self.problems.push(self.pointing(problem, left));
            return;
        }
        self.possible(&left_type, right);
        self.possible(&right_type, left);
    }

    /// A choice compared with a word that it can never be is a slip.
    fn possible(&mut self, kind: &Type, other: &Node) {
        let (Type::Enum(values), Operator::Const { value: Constant::String(word) }) = (kind, other.operator()) else {
            return;
        };
        if !values.contains(word) {
            let help = suggestion::did_you_mean(word, values.iter().map(String::as_str));
            self.problems.push(
                LanguageError::new(format!("it can never be \"{word}\"")).help(help).pointing_at(self.text, word),
            );
        }
    }
}

fn constant_type(value: &Constant) -> Type {
    match value {
        Constant::String(_) => Type::String,
        Constant::Float(_) => Type::Float,
        Constant::Int(_) => Type::Int,
        Constant::Boolean(_) => Type::Bool,
        Constant::Tuple(_) => Type::List(Box::new(Type::Any)),
        Constant::Empty => Type::Any,
    }
}
