//! Evaluation with three truth values (Kleene's strong logic): unknown || true is true,
//! unknown && false is false, and every other touch of an unknown is unknown.

use evalexpr::{Node, Operator, Value as Constant};
use serde_json::Value;

use super::expression::parse_unit;
use super::functions::{self, json_number};
use super::{Lookup, Scope};
use crate::base::value::show;

/// The verdict of a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    True,
    False,
    /// It cannot be decided, for this reason.
    Unknown(String),
}

impl Truth {
    pub fn known(&self) -> Option<bool> {
        match self {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Unknown(_) => None,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::True } else { Truth::False }
    }
}

pub(super) fn truth(node: &Node, scope: &dyn Scope) -> Truth {
    let child = |index: usize| truth(&node.children()[index], scope);
    match node.operator() {
        Operator::RootNode => child(0),
        Operator::Not => match child(0) {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            unknown => unknown,
        },
        Operator::And => match (child(0), child(1)) {
            (Truth::False, _) | (_, Truth::False) => Truth::False,
            (Truth::True, right) => right,
            (unknown, _) => unknown,
        },
        Operator::Or => match (child(0), child(1)) {
            (Truth::True, _) | (_, Truth::True) => Truth::True,
            (Truth::False, right) => right,
            (unknown, _) => unknown,
        },
        _ => match value(node, scope) {
            Ok(Value::Bool(flag)) => flag.into(),
            Ok(other) => Truth::Unknown(format!("'{}' is neither true nor false", show(&other))),
            Err(why) => Truth::Unknown(why),
        },
    }
}

pub(super) fn value(node: &Node, scope: &dyn Scope) -> Result<Value, String> {
    let child = |index: usize| value(&node.children()[index], scope);
    match node.operator() {
        Operator::RootNode => child(0),
        Operator::Const { value } => Ok(constant(value)),
        Operator::VariableIdentifierRead { identifier } => variable(identifier, scope),
        Operator::FunctionIdentifier { identifier } => call(identifier, &node.children()[0], scope),
        Operator::And | Operator::Or | Operator::Not => match truth(node, scope) {
            Truth::Unknown(why) => Err(why),
            known => Ok(Value::Bool(known == Truth::True)),
        },
        Operator::Eq => Ok(equal(&child(0)?, &child(1)?).into()),
        Operator::Neq => Ok((!equal(&child(0)?, &child(1)?)).into()),
        Operator::Neg => Ok(json_number(-number(&child(0)?)?)),
        Operator::Tuple => node.children().iter().map(|part| value(part, scope)).collect(),
        operator => arithmetic(operator, &child(0)?, &child(1)?),
    }
}

fn constant(constant: &Constant) -> Value {
    match constant {
        Constant::String(text) => text.as_str().into(),
        Constant::Float(number) => json_number(*number),
        Constant::Int(number) => (*number).into(),
        Constant::Boolean(flag) => (*flag).into(),
        Constant::Tuple(items) => items.iter().map(self::constant).collect(),
        Constant::Empty => Value::Null,
    }
}

fn variable(name: &str, scope: &dyn Scope) -> Result<Value, String> {
    if let Some((number, _)) = parse_unit(name) {
        return Ok(json_number(number));
    }
    match scope.lookup(name) {
        Lookup::Value(value) => Ok(value),
        Lookup::Missing(why) => Err(why),
    }
}

fn call(name: &str, argument: &Node, scope: &dyn Scope) -> Result<Value, String> {
    let function = functions::find(name).ok_or_else(|| format!("there is no function '{name}'"))?;
    let arguments = arguments(argument).into_iter().map(|part| value(part, scope)).collect::<Result<Vec<_>, _>>()?;
    let (least, most) = function.arguments;
    if !(least..=most).contains(&arguments.len()) {
        return Err(format!("'{name}' got {} arguments", arguments.len()));
    }
    (function.call)(&arguments)
}

/// The argument nodes of a call: the parts of a tuple in parentheses, or the single one.
pub(super) fn arguments(node: &Node) -> Vec<&Node> {
    match node.operator() {
        Operator::RootNode if node.children().len() == 1 => arguments(&node.children()[0]),
        Operator::RootNode => Vec::new(),
        Operator::Tuple => node.children().iter().collect(),
        _ => vec![node],
    }
}

/// Equality of values; numbers are equal whatever their notation (`5` and `5.0`).
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    // Whole numbers first: as floats, great ones that differ would be equal.
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return left == right;
    }
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Null => Err("a value is null".to_owned()),
        other => other.as_f64().ok_or_else(|| format!("'{}' is not a number", show(other))),
    }
}

fn arithmetic(operator: &Operator, left: &Value, right: &Value) -> Result<Value, String> {
    if let (Operator::Add, Value::String(left), Value::String(right)) = (operator, left, right) {
        return Ok(format!("{left}{right}").into());
    }
    let (left, right) = (number(left)?, number(right)?);
    Ok(match operator {
        Operator::Add => json_number(left + right),
        Operator::Sub => json_number(left - right),
        Operator::Mul => json_number(left * right),
        Operator::Div if right == 0.0 => return Err("a division by zero".to_owned()),
        Operator::Div => json_number(left / right),
        Operator::Mod if right == 0.0 => return Err("a division by zero".to_owned()),
        Operator::Mod => json_number(left % right),
        Operator::Gt => (left > right).into(),
        Operator::Lt => (left < right).into(),
        Operator::Geq => (left >= right).into(),
        Operator::Leq => (left <= right).into(),
        // Expression::parse lets no other operator through.
        other => return Err(format!("'{other}' is not part of expressions")),
    })
}
