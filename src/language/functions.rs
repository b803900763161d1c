//! The functions of the expression language. One row a function; documentation is made from it.

use serde_json::Value;

use crate::base::{Type, value::show};

/// A function: what it takes, what it gives, and how.
pub struct Function {
    pub name: &'static str,
    pub usage: &'static str,
    pub help: &'static str,
    /// Least and most number of arguments.
    pub arguments: (usize, usize),
    pub result: fn(&[Type]) -> Type,
    /// The value, or why it is unknown.
    pub call: fn(&[Value]) -> Result<Value, String>,
}

fn number(_: &[Type]) -> Type {
    Type::Float
}

fn truth(_: &[Type]) -> Type {
    Type::Bool
}

fn text(_: &[Type]) -> Type {
    Type::String
}

fn first_type(arguments: &[Type]) -> Type {
    arguments.first().cloned().unwrap_or(Type::Any)
}

/// Every function, in the order of the documentation.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "max",
        usage: "max(list) or max(a, b, …)",
        help: "the largest number; unknown for an empty list",
        arguments: (1, 64),
        result: number,
        call: |args| fold(args, f64::max),
    },
    Function {
        name: "min",
        usage: "min(list) or min(a, b, …)",
        help: "the smallest number; unknown for an empty list",
        arguments: (1, 64),
        result: number,
        call: |args| fold(args, f64::min),
    },
    Function {
        name: "sum",
        usage: "sum(list)",
        help: "the sum of the numbers; 0 for an empty list",
        arguments: (1, 64),
        result: number,
        call: |args| Ok(json_number(numbers(args)?.iter().sum())),
    },
    Function {
        name: "mean",
        usage: "mean(list)",
        help: "the mean of the numbers; unknown for an empty list",
        arguments: (1, 64),
        result: number,
        call: mean,
    },
    Function {
        name: "count",
        usage: "count(list)",
        help: "how many items a list, object or text has",
        arguments: (1, 1),
        result: number,
        call: count,
    },
    Function {
        name: "abs",
        usage: "abs(number)",
        help: "the number without its sign",
        arguments: (1, 1),
        result: number,
        call: |args| Ok(json_number(one_number(args)?.abs())),
    },
    Function {
        name: "round",
        usage: "round(number)",
        help: "the nearest whole number",
        arguments: (1, 1),
        result: number,
        call: |args| Ok(json_number(one_number(args)?.round())),
    },
    Function {
        name: "contains",
        usage: "contains(list, item) or contains(text, part)",
        help: "whether the item or the part is in it",
        arguments: (2, 2),
        result: truth,
        call: contains,
    },
    Function {
        name: "starts_with",
        usage: "starts_with(text, part)",
        help: "whether the text begins with the part",
        arguments: (2, 2),
        result: truth,
        call: |args| Ok(show(&args[0]).starts_with(&show(&args[1])).into()),
    },
    Function {
        name: "ends_with",
        usage: "ends_with(text, part)",
        help: "whether the text ends with the part",
        arguments: (2, 2),
        result: truth,
        call: |args| Ok(show(&args[0]).ends_with(&show(&args[1])).into()),
    },
    Function {
        name: "matches",
        usage: "matches(text, \"pattern\")",
        help: "whether the regular expression is found in the text",
        arguments: (2, 2),
        result: truth,
        call: matches,
    },
    Function {
        name: "union",
        usage: "union(list, list, …)",
        help: "the items of all the lists, each once",
        arguments: (1, 64),
        result: first_type,
        call: union,
    },
    Function {
        name: "without",
        usage: "without(list, list)",
        help: "the items of the first list that are not in the second",
        arguments: (2, 2),
        result: first_type,
        call: without,
    },
    Function {
        name: "default",
        usage: "default(value, other)",
        help: "the value, or the other one when it is null",
        arguments: (2, 2),
        result: first_type,
        call: |args| Ok(if args[0].is_null() { args[1].clone() } else { args[0].clone() }),
    },
    Function {
        name: "largest_difference",
        usage: "largest_difference(list, list)",
        help: "how far apart two lists of numbers are where they differ most; unknown when their lengths differ",
        arguments: (2, 2),
        result: number,
        call: largest_difference,
    },
    Function {
        name: "lower",
        usage: "lower(text)",
        help: "the text in lower case",
        arguments: (1, 1),
        result: text,
        call: |args| Ok(show(&args[0]).to_lowercase().into()),
    },
];

/// The function of that name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// A float as JSON; what JSON cannot hold becomes null, which no comparison of size accepts.
pub(super) fn json_number(number: f64) -> Value {
    Value::from(number)
}

fn numbers(args: &[Value]) -> Result<Vec<f64>, String> {
    let items: &[Value] = match args {
        [Value::Array(items)] => items,
        other => other,
    };
    items.iter().map(|item| item.as_f64().ok_or_else(|| format!("'{}' is not a number", show(item)))).collect()
}

fn one_number(args: &[Value]) -> Result<f64, String> {
    args[0].as_f64().ok_or_else(|| format!("'{}' is not a number", show(&args[0])))
}

fn fold(args: &[Value], pick: fn(f64, f64) -> f64) -> Result<Value, String> {
    numbers(args)?.into_iter().reduce(pick).map(json_number).ok_or_else(|| "the list is empty".to_owned())
}

fn mean(args: &[Value]) -> Result<Value, String> {
    let numbers = numbers(args)?;
    match numbers.len() {
        0 => Err("the list is empty".to_owned()),
        length => Ok(json_number(numbers.iter().sum::<f64>() / length as f64)),
    }
}

fn count(args: &[Value]) -> Result<Value, String> {
    let count = match &args[0] {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::String(text) => text.chars().count(),
        other => return Err(format!("'{}' has no items to count", show(other))),
    };
    Ok(json_number(count as f64))
}

fn contains(args: &[Value]) -> Result<Value, String> {
    let found = match &args[0] {
        Value::Array(items) => items.iter().any(|item| super::evaluate::equal(item, &args[1])),
        Value::Object(entries) => entries.contains_key(&show(&args[1])),
        Value::String(text) => text.contains(&show(&args[1])),
        other => return Err(format!("'{}' has no parts", show(other))),
    };
    Ok(found.into())
}

fn matches(args: &[Value]) -> Result<Value, String> {
    // The regex crate matches in linear time, so that no pattern can stall a run; the size limit
    // bounds the compiled form.
    let pattern =
        regex::RegexBuilder::new(&show(&args[1])).size_limit(1 << 20).build().map_err(|error| error.to_string())?;
    Ok(pattern.is_match(&show(&args[0])).into())
}

fn union(args: &[Value]) -> Result<Value, String> {
    let mut all: Vec<Value> = Vec::new();
    for item in args.iter().map(list).collect::<Result<Vec<_>, _>>()?.concat() {
        if !all.iter().any(|known| super::evaluate::equal(known, &item)) {
            all.push(item);
        }
    }
    Ok(all.into())
}

fn list(value: &Value) -> Result<Vec<Value>, String> {
    value.as_array().cloned().ok_or_else(|| format!("'{}' is not a list", show(value)))
}

fn without(args: &[Value]) -> Result<Value, String> {
    let (mut kept, left_out) = (list(&args[0])?, list(&args[1])?);
    kept.retain(|item| !left_out.iter().any(|other| super::evaluate::equal(item, other)));
    Ok(kept.into())
}

fn largest_difference(args: &[Value]) -> Result<Value, String> {
    let (left, right) = (numbers(&args[..1])?, numbers(&args[1..])?);
    if left.len() != right.len() || left.is_empty() {
        return Err(format!("lists of {} and {} numbers cannot be compared", left.len(), right.len()));
    }
    Ok(json_number(left.iter().zip(&right).map(|(left, right)| (left - right).abs()).fold(0.0, f64::max)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(name: &str, arguments: Value) -> Result<Value, String> {
        (find(name).unwrap().call)(arguments.as_array().unwrap())
    }

    #[test]
    fn lists_are_joined_and_taken_from_each_other() {
        assert_eq!(call("union", json!([["a", 1], [1.0, "b"], []])), Ok(json!(["a", 1, "b"])));
        assert_eq!(call("without", json!([["a", "b", "c"], ["b", "d"]])), Ok(json!(["a", "c"])));
        assert_eq!(call("without", json!([["a"], "a"])), Err("'a' is not a list".into()));
    }

    #[test]
    fn only_null_has_a_default() {
        assert_eq!(call("default", json!([null, 3])), Ok(json!(3)));
        assert_eq!(call("default", json!([0, 3])), Ok(json!(0)));
    }

    #[test]
    fn lists_of_numbers_are_compared_place_by_place() {
        assert_eq!(call("largest_difference", json!([[1, 2.5], [1.25, 2]])), Ok(json!(0.5)));
        assert_eq!(call("largest_difference", json!([[1], [1]])), Ok(json!(0.0)));
        for incomparable in [json!([[1], [1, 2]]), json!([[], []]), json!([[1], ["a"]]), json!([[1], [null]])] {
            assert!(call("largest_difference", incomparable.clone()).is_err(), "{incomparable}");
        }
    }
}
